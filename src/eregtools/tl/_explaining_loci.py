"""Attribute predicted transcription of enhancer-RNA loci to the bases of their windows."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from eregtools._keys import Modality, Var
from eregtools._logging import progress_bar
from eregtools.batches.encode import UNKNOWN
from eregtools.tl._erna_windows import centres_of, locus_windows, open_coverage, window_starts
from eregtools.tl._explaining import Explained, Request, Serving, Window, Work, one_width, serving_models
from eregtools.tl._models import biosample_of, model_set

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eregtools.batches.loci import LocusBatch
    from eregtools.coverage import Coverage
    from eregtools.models.attribution import Explanation

_LOCI_PER_CHUNK: Final = 256


def of_transcription(request: Request) -> Work:
    """Attribute the log odds that loci are transcribed, coverage as it is."""
    from eregtools.models import ERNAformer

    if request.model is None:
        raise ValueError("model= is None, but no weights of ERNAformer are published; pass a model or its folder")
    table = request.mdata[Modality.ernas].var
    store = open_coverage(request.mdata, request.coverage, [request.sample])
    models = model_set(
        request.model,
        sample=request.sample,
        biosample=biosample_of(request.mdata, request.sample),
        family=(),
        assay=Modality.ernas,
        expected=ERNAformer,
        allow_cross_cell=True,  # coverage says what a biosample transcribes, also one that was never seen
    )
    serving = serving_models(
        request.mdata,
        models,
        table[Var.chromosome].iloc[request.rows],
        request.settings,
        sample=request.sample,
        what="loci",
        recipe="ernas, both",
    )
    configs = [one.network.config for one in serving]
    one_width({config.seq_len for config in configs})
    width = one_width({config.width for config in configs})
    starts = window_starts(centres_of(table), configs[0])
    return Work(Window(width, starts), [one.provenance for one in serving], _explained(request, serving, store))


def _explained(request: Request, serving: list[Serving], store: Coverage) -> Iterator[Explained]:
    table = request.mdata[Modality.ernas].var
    with progress_bar(len(request.rows), "Attributing transcription", "loci") as bar:
        for one in serving:
            explains = _Explains(one.network, request)
            own = request.rows[one.rows]
            for begin in range(0, len(own), _LOCI_PER_CHUNK):
                rows = own[begin : begin + _LOCI_PER_CHUNK]
                nothing = np.zeros(len(rows), dtype=np.float32)
                windows = locus_windows(
                    table.iloc[rows], [request.sample], nothing, one.network.config, request.genome, store
                )
                for number, row in enumerate(rows):
                    locus = windows.batch(np.array([number]))
                    if (locus.codes < UNKNOWN).any():
                        yield Explained(np.array([row]), slice(0, windows.width), explains(locus))
                    bar.update()


class _Explains:
    """Attributes the predictions of one model."""

    def __init__(self, network: Any, request: Request) -> None:
        from eregtools.models.device import pick_device
        from eregtools.models.window_attribution import TranscriptionMutagenesis

        device = pick_device(request.settings.device)
        self.method = request.how.name
        self.mutagenesis: Any = None
        self.network: Any = None
        if self.method == "ism":
            self.mutagenesis = TranscriptionMutagenesis(network, device)
        else:
            self.network = copy.deepcopy(network).to(device)

    def __call__(self, locus: LocusBatch) -> Explanation:
        """Explain one locus."""
        from eregtools.models.attribution import Explanation, explain
        from eregtools.models.mutagenesis import importance
        from eregtools.models.window_attribution import TranscriptionView

        if self.mutagenesis is not None:
            return Explanation(*importance(locus.codes, *self.mutagenesis(locus)), np.full(1, np.nan))
        view = TranscriptionView(self.network, locus)
        return explain(view, locus.codes, self.network.one_hot.table, self.method)
