"""Documentation: every public name has its place, and code that needs no files of the reader's runs."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import eregtools as er

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in [*DOCS.rglob("*.md"), ROOT / "README.md"] if "_build" not in page.parts)
MODULES = ("datasets", "get", "io", "models", "pl", "pp", "report", "tl")
NEEDS_FILES = "# files of your own"
NOT_ALWAYS_INSTALLED = ("dask",)


@pytest.mark.parametrize("module", MODULES)
def test_each_public_name_is_in_the_reference_once(module):
    text = (DOCS / "api" / f"{module}.md").read_text()
    listed = re.findall(r"^   (\w+)$", text, flags=re.MULTILINE)
    assert sorted(listed) == sorted(getattr(er, module).__all__)


def code_of(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_compiles_and_names_what_exists(page):
    for block in code_of(page):
        compile(block, str(page), "exec")
        for module, name in re.findall(rf"\ber\.({'|'.join(MODULES)})\.(\w+)", block):
            assert hasattr(getattr(er, module), name), f"er.{module}.{name}"


@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES
        if any(not block.startswith(NEEDS_FILES) for block in code_of(page)) and page.parent != ROOT
    ],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = code_of(page)
    for library in NOT_ALWAYS_INSTALLED:
        if any(library in block for block in blocks):
            pytest.importorskip(library)
    for block in blocks:
        if not block.startswith(NEEDS_FILES):
            exec(compile(block, str(page), "exec"), names)
    plt.close("all")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_references_to_functions_exist(page):
    for role in re.findall(r"\{(?:func|class|meth)\}`(?:[^`<]*<)?~?([\w.]+)>?`", page.read_text()):
        parts = role.split(".")
        if parts[0] != "eregtools":
            continue
        found = er
        for part in parts[1:]:
            found = getattr(found, part)
