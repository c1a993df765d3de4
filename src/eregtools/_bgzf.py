"""The end of BGZF files, as bgzip and htslib write them."""

from __future__ import annotations

import os
from pathlib import Path

BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def check_bgzf_end(path: Path) -> None:
    """Refuse a BGZF file (BAM, BCF, bgzip) without its end-of-file block."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(BGZF_END)))
        if file.read() != BGZF_END:
            raise ValueError(
                f"{path} is truncated: its end-of-file block is missing ({size} bytes found). "
                f"Copy or download it again."
            )
