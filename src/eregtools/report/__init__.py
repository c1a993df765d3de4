"""One page that tells what an object holds, how good it is, and what its models are worth."""

from __future__ import annotations

from eregtools.report.write import write_report

__all__ = ["write_report"]
