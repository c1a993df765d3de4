"""Parameters of simulated enhancer-RNA loci."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from eregtools.datasets._erna_grammar import SequenceLaw
from eregtools.datasets._erna_reads import ReadLaw
from eregtools.datasets._erna_tasks import FAR, JITTER, REACH

Library = Literal["stranded", "unstranded", "swapped"]


@dataclass(frozen=True)
class ErnaSimulationConfig:
    """Parameters of :func:`~eregtools.datasets.simulate_erna`.

    Attributes
    ----------
    seq_len, halo
        Length of a window, and of what lies on either side of it, in bp; multiples of 32.
    gc, gc_sd, lone_motifs
        Background sequence: share of G and C, how much it differs between windows, mean number of single motifs.
    reads, plus_shares, gaps, decay, background, read_length
        Transcription: expected reads of a locus, share on the plus strand, distance between the two starts, mean
        distance of a read's first base from its start, reads by chance per base and strand, length of a read. The
        first three are drawn from the values given.
    distance
        Between grammar and centre of RNA of the positives of ``"align-long"``, in bp; even.
    library
        ``"stranded"``, ``"unstranded"`` (each read on either strand) or ``"swapped"`` (labels exchanged).
    library_size
        Reads of the whole library, which coverage per million refers to.
    contrast_width
        Width of the running mean of local contrast in bp.

    Raises
    ------
    ValueError
        A parameter is out of its range; the message names it.

    Examples
    --------
    >>> import eregtools as er
    >>> config = er.datasets.ErnaSimulationConfig(reads=(40.0,), library="swapped")
    >>> er.datasets.simulate_erna("align", n=50, config=config).tracks["reads"].unique()
    array([40.])
    """

    seq_len: int = 1024
    halo: int = 128
    gc: float = 0.42
    gc_sd: float = 0.0
    lone_motifs: float = 0.0
    reads: tuple[float, ...] = (20.0, 40.0, 80.0)
    plus_shares: tuple[float, ...] = (0.2, 0.35, 0.5, 0.65, 0.8)
    gaps: tuple[int, ...] = (40, 80, 120, 200)
    decay: float = 150.0
    background: float = 0.004
    read_length: int = 75
    distance: int = FAR
    library: Library = "stranded"
    library_size: float = 1e7
    contrast_width: int = 10_000

    def __post_init__(self) -> None:
        if self.seq_len < 1024 or self.seq_len % 32 or self.halo % 32 or self.halo < 0:
            raise ValueError(
                f"seq_len={self.seq_len} and halo={self.halo}; expected multiples of 32, seq_len of at least 1,024"
            )
        if self.library not in ("stranded", "unstranded", "swapped"):
            raise ValueError(f"library is {self.library!r}; expected 'stranded', 'unstranded' or 'swapped'")
        if not self.library_size > 0:
            raise ValueError(f"library_size is {self.library_size}; expected a positive number")
        for name in ("reads", "plus_shares", "gaps"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if max(self.gaps, default=0) > 240:
            raise ValueError(f"gaps is {self.gaps}; expected at most 240 bp, so that a locus fits its window")
        far = REACH + JITTER + max(self.gaps) // 2
        longest = 2 * (self.width // 2 - far - 1)
        if not 0 < self.distance <= longest or self.distance % 2:
            raise ValueError(f"distance is {self.distance} bp; expected an even number up to {longest}")
        self.sequence_law, self.read_law  # noqa: B018

    @property
    def width(self) -> int:
        """Window with its halo."""
        return self.seq_len + 2 * self.halo

    @property
    def sequence_law(self) -> SequenceLaw:
        """How sequence is drawn."""
        return SequenceLaw(self.width, self.gc, self.gc_sd, self.lone_motifs)

    @property
    def read_law(self) -> ReadLaw:
        """How reads are drawn."""
        return ReadLaw(self.reads, self.plus_shares, self.gaps, self.decay, self.background, self.read_length)
