"""Position attention of EPIPAM on the genome."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from eregtools._keys import Layer, Modality, Uns, Var, Varm
from eregtools._memory import require_memory
from eregtools._schema import check_layer_name, entry, link_positions, listed, require_modality
from eregtools.batches.pairs import pair_windows
from eregtools.get._select import one_sample
from eregtools.tl._models import record_result
from eregtools.tl._pair_runs import Pairs, require_pairs, run_epipam
from eregtools.tl.expression import RunSettings, object_genome
from eregtools.tl.interactions import named_links

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.genome import Genome
    from eregtools.models.epipam import Interaction
    from eregtools.models.epipam_config import EPIPAMConfig, Side

SIDES: Final[tuple[Side, Side]] = ("enhancer", "promoter")

_FINEST: Final = 1
"""Stage whose relations are too many to be kept for all links."""


def position_attention(
    mdata: MuData,
    model: Any,
    names: str | Iterable[str] | None = None,
    *,
    stages: Sequence[int] = (1, 2, 3),
    relations: Sequence[int] = (),
    fold: int | str = "auto",
    genome: Genome | str | Path | None = None,
    sample: str | None = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
    key_added: str = "position_attention",
    allow_cross_cell: bool = False,
    allow_leakage: bool = False,
    copy: bool = False,
) -> MuData | None:
    """Store which bins of an enhancer and a promoter EPIPAM relates to each other, with their places on the genome.

    Parameters
    ----------
    mdata, model, fold, genome, device, batch_size, allow_cross_cell, allow_leakage, copy
        As in :func:`eregtools.tl.predict_interactions`.
    names
        Links; ``None``: all of the biosample.
    stages
        Stages whose weights are stored, from 1; their bins are 10, 100 and 500 bp apart in the paper's 3000 x 2000
        geometry.
    relations
        Stages whose relations between all bins are stored, too. Those of stage 1 (234 kB a link) are stored for named
        links only.
    sample
        The biosample; needed where there are several.
    key_added
        Where to store.

    Returns
    -------
    ``None``, or the new object. Sets the following fields, replacing what was under the key:

    ``mdata["links"].varm["position_attention_enhancer2"]``, ``["position_attention_promoter2"]``
        Of each stage, weight of each bin ``(n_links, bins)``, float32; sums to 1 over a window; NaN for links that were
        not asked for or not predicted.
    ``mdata["links"].varm["position_attention_relation2"]``
        Relations ``(n_links, enhancer bins, promoter bins)``, float32.
    ``mdata["links"].var["position_attention_enhancer_start"]``, ``["position_attention_promoter_start"]``
        First base of the windows that were read.
    ``mdata.uns["eregtools"]["position_attention"]["position_attention"]``
        ``"stages"``: by stage, ``stride`` of the bins, ``receptive_field``, and ``offset`` of a bin's first base and
        ``tile_offset`` of its tile from ``stride * bin``, all in bp. ``"relation1"`` and ``"relation1_links"``:
        relations of stage 1 and the names of their links.
    ``mdata.uns["eregtools"]["results"]``
        Which weights made it.

    Raises
    ------
    KeyError
        An unknown link or biosample; no fold model serves these chromosomes.
    ValueError
        A stage that the model does not have; relations of stage 1 without names; a model without attention; else as
        :func:`eregtools.tl.predict_interactions`.
    MemoryError
        The result would take more than ``settings.largest_result``, or than there is memory.

    See Also
    --------
    eregtools.get.attention_bins : the bins of a link on the genome, with their weights.
    eregtools.get.attended_regions : the bins with the largest weights, as intervals to search for motifs.

    Notes
    -----
    Liu, Zhu and Zhang, Computational Biomedicine 2026. A bin's weight is the softmax of its strongest relation; the bin
    is scaled by one plus its weight. It tells where the network finds two windows alike, not what its prediction rests
    on: at random weights it is uniform within 1 %, and nothing holds it to importance. From stage 2 on, relations carry
    the scaling of the stages before, which reach over the whole window. The tile of a bin is the ``stride`` bp in the
    middle of what it sees; tiles do not overlap. The last bases of a window (256 bp at stage 3) are in no bin.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.InteractionConfig(n_chromosomes=3, pairs_per_chromosome=20, instances=3)
    >>> simulation = er.datasets.simulate_interactions(tempfile.mkdtemp(), config=small)
    >>> widths = {"enhancer_width": 600, "promoter_width": 600}
    >>> mdata = er.pp.pairs(simulation.pairs, genome=simulation.genome, sample="simulated", **widths)
    >>> link = mdata["links"].var_names[0]
    >>> er.tl.position_attention(mdata, "EPIPAM-small-simulated", link, relations=[2], genome=simulation.genome)
    >>> weights = mdata["links"].varm["position_attention_enhancer2"]
    >>> weights.shape, float(weights[0].sum().round(3))
    ((240, 15), 1.0)
    >>> mdata["links"].varm["position_attention_relation2"].shape
    (240, 15, 15)
    """
    mdata = mdata.copy() if copy else mdata
    check_layer_name(key_added, "key_added")
    require_pairs(mdata)
    links = require_modality(mdata, Modality.links)
    name = one_sample(mdata, sample)
    rows = _chosen(mdata, names, name)
    wanted = sorted({int(stage) for stage in stages}), sorted({int(stage) for stage in relations})
    if _FINEST in wanted[1] and names is None:
        raise ValueError("relations of stage 1 are stored for named links only (234 kB each); pass names=")
    store = _Store(links.n_vars, rows, *wanted)
    settings = RunSettings(Layer.interaction, fold, genome, device, batch_size, allow_cross_cell, allow_leakage)
    pairs = Pairs(*link_positions(mdata))
    runs = list(
        run_epipam(
            mdata, model, pairs, {name: rows}, settings, "Relating bins", each=store.put, prepare=store.make_room
        )
    )
    _keep(mdata, key_added, store, pairs, object_genome(mdata, genome))
    record_result(mdata, f"{Modality.links}:{key_added}", [run.provenance for run in runs], mdata.obs_names)
    return mdata if copy else None


def _chosen(mdata: MuData, names: str | Iterable[str] | None, sample: str) -> NDArray[np.int64]:
    if names is not None:
        return named_links(mdata, [names] if isinstance(names, str) else names)
    own = np.asarray(mdata[Modality.links].layers[Layer.candidate])[mdata.obs_names.get_loc(sample)]
    return np.flatnonzero(own > 0)


class _Store:
    """Weights and relations of all links, NaN where there are none."""

    def __init__(self, n_links: int, rows: NDArray[np.int64], stages: list[int], relations: list[int]) -> None:
        self.n_links, self.rows = n_links, rows
        self.stages, self.with_relations = stages, relations
        self.weights: dict[tuple[str, int], NDArray[np.float32]] = {}
        self.relations: dict[int, NDArray[np.float32]] = {}
        self.config: EPIPAMConfig | None = None

    def make_room(self, config: EPIPAMConfig) -> None:
        """Take the geometry of a model, which all fold models share, and refuse what it cannot fill."""
        if not config.attention:
            raise ValueError("the model has no position attention (attention=False)")
        if self.config is None:
            self.config = config
            self._allocate(config)
        elif (self.config.kernels, self.config.pools) != (config.kernels, config.pools):
            raise ValueError("the fold models have bins of different sizes; pass models of one geometry")

    def _allocate(self, config: EPIPAMConfig) -> None:
        known = range(1, len(config.kernels) + 1)
        if unknown := [stage for stage in {*self.stages, *self.with_relations} if stage not in known]:
            raise ValueError(f"there is no stage {unknown[0]}; the model has {listed(known)}")
        if not self.stages:
            raise ValueError("stages= is empty; name at least one")
        bins = {side: config.bins(side) for side in SIDES}
        shapes = {(side, stage): (self.n_links, bins[side][stage - 1]) for stage in self.stages for side in SIDES}
        n_rows = {stage: len(self.rows) if stage == _FINEST else self.n_links for stage in self.with_relations}
        of_relations = {s: (n, *(bins[side][s - 1] for side in SIDES)) for s, n in n_rows.items()}
        size = sum(int(np.prod(shape)) for shape in (*shapes.values(), *of_relations.values()))
        require_memory(4 * size, f"position attention of {self.n_links:,} links", "choose fewer stages or links")
        self.weights = {key: np.full(shape, np.nan, dtype=np.float32) for key, shape in shapes.items()}
        self.relations = {key: np.full(shape, np.nan, dtype=np.float32) for key, shape in of_relations.items()}

    def put(self, rows: NDArray[np.int64], found: Interaction) -> None:
        """Fill in some links."""
        for (side, stage), values in self.weights.items():
            values[rows] = getattr(found.attention[stage - 1], side).cpu().numpy()
        for stage, values in self.relations.items():
            relation = found.attention[stage - 1].relation.cpu().numpy()
            if stage != _FINEST:
                values[rows] = relation
                continue
            place = {row: number for number, row in enumerate(self.rows.tolist())}
            values[[place[row] for row in rows.tolist()]] = relation


def _keep(mdata: MuData, key: str, store: _Store, pairs: Pairs, genome: Genome) -> None:
    links, config = mdata[Modality.links], store.config
    if config is None:
        raise ValueError("no fold model serves any of these links; see fold= and er.pp.split")
    _forget(links, key)
    for (side, stage), values in store.weights.items():
        links.varm[Varm.bin_weights(key, side, stage)] = values
    for stage, values in store.relations.items():
        if stage != _FINEST:
            links.varm[Varm.relations(key, stage)] = values
    for place, modality in zip(SIDES, (Modality.enhancers, Modality.genes), strict=True):
        start = pair_windows(mdata, modality, config.length(place), genome).start
        links.var[Var.window_start(f"{key}_{place}")] = start[pairs.of(place)]
    about: dict[str, Any] = {"stages": stage_table(config)}
    if _FINEST in store.relations:
        about[f"relation{_FINEST}"] = store.relations[_FINEST]
        about[f"relation{_FINEST}_links"] = links.var_names[store.rows].to_numpy(dtype=object)
    entry(mdata, Uns.position_attention)[key] = about


def _forget(links: AnnData, key: str) -> None:
    """Take away what an earlier call stored under a key, in other stages perhaps."""
    mine = [Varm.bin_weights(key, side, stage) for side in SIDES for stage in range(1, 10)]
    for name in (*mine, *(Varm.relations(key, stage) for stage in range(1, 10))):
        links.varm.pop(name, None)


def stage_table(config: EPIPAMConfig) -> pd.DataFrame:
    """Where the bins of each stage lie in a window, in bp, by stage as text.

    Bin ``j`` sees the window's bases from ``stride * j + offset`` on, ``receptive_field`` of them (none before the
    window); its tile, ``stride`` wide, begins at ``stride * j + tile_offset``.
    """
    from eregtools.models.recipes import SEQUENCE_RECIPES

    word = SEQUENCE_RECIPES[config.embedding].word
    lead = 0 if word is None else word - 1
    stride = np.array(config.strides, dtype=np.int64)
    field = np.array(config.receptive_fields, dtype=np.int64) + lead
    return pd.DataFrame(
        {
            "stride": stride,
            "receptive_field": field,
            "offset": np.full(len(stride), -lead),
            "tile_offset": (field - stride) // 2 - lead,
            "enhancer_bins": np.array(config.bins("enhancer"), dtype=np.int64),
            "promoter_bins": np.array(config.bins("promoter"), dtype=np.int64),
        },
        index=pd.Index([str(stage + 1) for stage in range(len(stride))], name="stage", dtype=object),
    )
