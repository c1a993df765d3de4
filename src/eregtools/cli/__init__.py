"""Command line: thin over the functions of the package, one file for each family of commands.

Exit status: 0 done, 1 bad input (one line that says what and how to mend it), 2 usage.
"""

from __future__ import annotations

from eregtools.cli._app import app, main

__all__ = ["app", "main"]
