"""Run the tutorials, each in a kernel of its own: ``python tutorials/run.py [--update] [--workers N]``.

With ``--update`` what they print and draw is kept, without times and names of machines, so that a difference between
versions is one of results.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).parent


def run(path: Path, update: bool) -> str | None:
    """Run one notebook; what went wrong, if anything did."""
    notebook = nbformat.read(path, as_version=4)
    start = time.monotonic()
    client = NotebookClient(
        notebook, timeout=900, kernel_name="python3", record_timing=False, resources={"metadata": {"path": str(FOLDER)}}
    )
    try:
        client.execute()
    except CellExecutionError as error:
        return f"{path.name}: {error}"
    print(f"{path.name}: {time.monotonic() - start:.0f} s", flush=True)
    if update:
        notebook.metadata["language_info"] = {"name": "python"}
        nbformat.write(notebook, path)
    return None


def main() -> int:
    """Run all; 1 where one fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="keep what they print and draw")
    parser.add_argument("--workers", type=int, default=1, help="notebooks at once")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # more threads on the same cores are slower
    with ThreadPoolExecutor(arguments.workers) as pool:
        results = pool.map(lambda path: run(path, arguments.update), sorted(FOLDER.glob("*.ipynb")))
    failed = [result for result in results if result is not None]
    for message in failed:
        print(message, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
