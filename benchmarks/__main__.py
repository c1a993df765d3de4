"""Run one benchmark, or list them."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks


def main(arguments: list[str]) -> int:
    names = sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_"))
    if not arguments:
        for name in names:
            module = importlib.import_module(f"benchmarks.{name}")
            if hasattr(module, "run"):
                print(f"{name:20s} {(module.__doc__ or '').strip().splitlines()[0]}")
        return 0
    if arguments[0] not in names:
        print(f"There is no benchmark {arguments[0]!r}; there are: {', '.join(names)}", file=sys.stderr)
        return 2
    importlib.import_module(f"benchmarks.{arguments[0]}").run(*arguments[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
