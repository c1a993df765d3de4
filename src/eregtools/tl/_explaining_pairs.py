"""Attribute predicted interactions to the bases of both windows of a pair."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from eregtools._logging import progress_bar
from eregtools._schema import link_positions
from eregtools.batches.pairs import Windows, pair_windows
from eregtools.tl._explaining import Explained, Request, Window, Work, one_width
from eregtools.tl._pair_runs import MODALITY_OF, Pairs, pair_jobs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from eregtools.models.attribution import Explanation
    from eregtools.models.epipam_config import Side
    from eregtools.tl._models import Source
    from eregtools.tl._pair_runs import PairJob

_PAIRS_PER_CHUNK: Final = 64


def of_interaction(request: Request) -> Work:
    """Attribute the interaction of links: enhancers' windows, and after them those of promoters."""
    mdata, rows = request.mdata, request.rows
    pairs = Pairs(*link_positions(mdata))
    jobs = pair_jobs(mdata, request.model, pairs, {request.sample: rows}, request.settings)
    configs = [source.load().config for source, _ in jobs]
    windows = {
        side: pair_windows(mdata, modality, one_width({config.length(side) for config in configs}), request.genome)
        for side, modality in MODALITY_OF.items()
    }
    enhancer, promoter = (Window(windows[side].length, windows[side].start[pairs.of(side)]) for side in MODALITY_OF)
    explains = [_Explains(source.load(), request) for source, _ in jobs]
    provenance = [job.provenance for _, group in jobs for job in group]
    return Work(enhancer, provenance, _explained(request, pairs, windows, jobs, explains), promoter)


class _Explains:
    """Attributes the predictions of one model."""

    def __init__(self, network: Any, request: Request) -> None:
        from eregtools.models.device import pick_device
        from eregtools.models.window_attribution import InteractionMutagenesis, InteractionView

        device = pick_device(request.settings.device)
        self.method = request.how.name
        self.mutagenesis: Any = None
        self.view: Any = None
        if self.method == "ism":
            self.mutagenesis = InteractionMutagenesis(network, device)
        else:
            self.view = InteractionView(copy.deepcopy(network).to(device))

    def __call__(self, codes: NDArray[np.uint8]) -> Explanation:
        """Explain pairs ``(n, enhancer + promoter)``."""
        from eregtools.models.attribution import Explanation, explain
        from eregtools.models.mutagenesis import importance

        if self.view is not None:
            return explain(self.view, codes, self.view.bases, self.method)
        unchanged, mutated = (np.concatenate(part) for part in zip(*map(self.mutagenesis, codes), strict=True))
        return Explanation(*importance(codes, unchanged, mutated), np.full(len(codes), np.nan))


def _explained(
    request: Request,
    pairs: Pairs,
    windows: dict[Side, Windows],
    jobs: list[tuple[Source, list[PairJob]]],
    explains: list[_Explains],
) -> Iterator[Explained]:
    from eregtools.models.pair_inference import has_known_base

    with progress_bar(len(request.rows), "Attributing interactions", "pairs") as bar:
        for (_, group), explain_pairs in zip(jobs, explains, strict=True):
            rows = np.concatenate([job.rows for job in group])
            for begin in range(0, len(rows), _PAIRS_PER_CHUNK):
                part = rows[begin : begin + _PAIRS_PER_CHUNK]
                sides = [windows[side].codes(request.genome, pairs.of(side)[part]) for side in MODALITY_OF]
                known = np.flatnonzero(np.all([has_known_base(codes) for codes in sides], axis=0))
                if len(known):
                    codes = np.concatenate(sides, axis=1)[known]
                    yield Explained(part[known], slice(0, codes.shape[1]), explain_pairs(codes))
                bar.update(len(part))
