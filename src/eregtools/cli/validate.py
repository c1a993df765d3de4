"""``eregtools validate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eregtools.cli._objects import open_object
from eregtools.cli._options import Json, Object
from eregtools.cli._report import Report, reporting

if TYPE_CHECKING:
    from mudata import MuData


def validate(path: Object, as_json: Json = False) -> None:
    """Check that a file is an object that eregtools takes, and say what it holds."""
    with reporting(as_json) as report:
        describe(open_object(path), report)
        report.say(f"{path} is valid", path=path, valid=True)


def describe(mdata: MuData, report: Report) -> None:
    """Say what an object holds: biosamples, elements and layers of each modality, folds."""
    from eregtools._keys import UNS, Uns

    about = mdata.uns.get(UNS, {})
    modalities = {}
    for name, modality in mdata.mod.items():
        layers = [layer for layer in modality.layers if layer is not None]
        modalities[name] = {"n": modality.n_vars, "layers": layers}
        report.say(f"{name}: {modality.n_obs} biosamples × {modality.n_vars} ({', '.join(layers) or 'no layers'})")
    report.facts.update(
        samples=list(mdata.obs_names),
        genome=about.get(Uns.genome),
        modalities=modalities,
        folds={scheme: list(table.columns) for scheme, table in about.get(Uns.folds, {}).items()},
    )
