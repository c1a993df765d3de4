# Every target works on a fresh clone: it first makes the environment that it needs, once.

# Makes the environment: the first interpreter on the path that is Python 3.11 or later.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
VENV ?= .venv
# Installed first and by itself, so that a machine can name the build that it has (CPU, CUDA).
# Must agree with constraints.txt.
TORCH ?= torch==2.13.0
# The folder with the K562 files of the demo.
K562 ?= $(if $(EREGTOOLS_SHARED),$(EREGTOOLS_SHARED)/data)
WORKERS ?= 2

PY = $(VENV)/bin/python
PIP = PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 $(PY) -m pip install --quiet -c constraints.txt
# One thread per worker: more of them on the same cores are slower.
PYTEST = OMP_NUM_THREADS=1 MPLBACKEND=Agg $(PY) -m pytest -n $(WORKERS) --dist loadfile --durations 25 --durations-min 5

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-k562 test test-slow lint types docs tutorials tutorials-update ci clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or later on the path. Name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Making a virtual environment in $(VENV) with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv "$(VENV)"
	@touch $@

$(VENV)/.test-ready: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "Installing PyTorch ($(TORCH)), the largest download"
	@$(PIP) "$(TORCH)"
	@echo "Installing eregtools and what its tests need"
	@$(PIP) -e ".[test]"
	@touch $@

$(VENV)/.dev-ready: $(VENV)/.test-ready
	@echo "Installing the linter, the type checker and what documentation needs"
	@$(PIP) -e ".[dev]"
	@touch $@

setup: $(VENV)/.dev-ready ## make the environment only

demo: $(VENV)/.test-ready ## simulate a genome, train on it, judge and draw; about 6 minutes, results in demo/
	@echo "Running the demo on a simulated genome; results go into demo/"
	@$(VENV)/bin/eregtools demo --out demo

ifeq ($(strip $(K562)),)
demo-k562: ## the real K562 job, from raw counts to figures (K562=FOLDER)
	@echo "make demo-k562 needs the folder with the K562 files; $(VENV)/bin/eregtools demo --help names them (after make setup)." >&2
	@echo "Give it as make demo-k562 K562=FOLDER, or set EREGTOOLS_SHARED to the folder that holds it as data/." >&2
	@exit 2
else
demo-k562: $(VENV)/.test-ready
	@echo "Running the K562 job on $(K562); results go into demo-k562/"
	@$(VENV)/bin/eregtools demo --k562 "$(K562)" --out demo-k562
endif

test: $(VENV)/.test-ready ## the tests, without the slow ones
	@echo "Running the tests with $(WORKERS) workers"
	@$(PYTEST) -m "not slow"

test-slow: $(VENV)/.test-ready ## the slow tests
	@echo "Running the slow tests with $(WORKERS) workers"
	@$(PYTEST) -m slow

lint: $(VENV)/.dev-ready ## ruff: rules and format
	@echo "Checking the rules and the format with ruff"
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: $(VENV)/.dev-ready ## mypy
	@echo "Checking the types with mypy"
	@$(PY) -m mypy

docs: $(VENV)/.dev-ready ## the documentation, with warnings as errors; into docs/_build/html
	@echo "Building the documentation; it goes into docs/_build/html"
	@MPLBACKEND=Agg $(PY) -m sphinx -W --keep-going -q -j auto -b html docs docs/_build/html

tutorials: $(VENV)/.dev-ready ## run the tutorials
	@echo "Running the tutorials with $(WORKERS) workers"
	@$(PY) tutorials/run.py --workers $(WORKERS)

tutorials-update: $(VENV)/.dev-ready ## run the tutorials and keep what they print
	@echo "Running the tutorials with $(WORKERS) workers, and keeping what they print"
	@$(PY) tutorials/run.py --workers $(WORKERS) --update

ci: ## what continuous integration runs, in an environment of its own
	@PYTHON="$(PYTHON)" TORCH="$(TORCH)" .ci/run

clean: ## remove .venv, demo/, build products and caches
	@echo "Removing .venv, demo/, build products and caches"
	@rm -rf .venv demo demo-k562 build dist docs/_build docs/api/generated .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
