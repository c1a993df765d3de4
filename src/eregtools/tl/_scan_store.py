"""The folder of a scan: pieces while it runs, tracks and models when it is done."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eregtools._keys import INTERVAL, UNS, Uns, Var
from eregtools._schema import entry, listed
from eregtools.io import store
from eregtools.io.bigwig_write import write_bigwig

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.models import ERNAformer
    from eregtools.tl._scan_chunks import Chunk

REQUEST_FILE = "scan.json"
ABOUT_FILE = "about.json"
PARTS = ("pieces", "tracks", "bigwig", "models", "mask.npz")

_FORMAT, _VERSION = "eregtools scan", 1
_TOKEN = 32
_INNER, _OUTER = 1 << 16, 1 << 22


class ErnaScan:
    """Opened result of :func:`eregtools.tl.scan_ernas`.

    Parameters
    ----------
    folder
        Folder of the scan.

    Attributes
    ----------
    path
        The folder.
    samples
        Names of the biosamples.
    chrom_sizes
        Length of each chromosome that was scanned, in bases.
    about
        What is known of the scan: genome, coverage, grid of windows, and the models of each biosample.

    Raises
    ------
    FileNotFoundError
        There is no finished scan.
    ValueError
        It was written by a newer eregtools.

    Examples
    --------
    >>> scan = ErnaScan("scans/K562")  # doctest: +SKIP
    >>> scan.track("K562", "chr1", 0, 4_096).shape  # doctest: +SKIP
    (128,)
    """

    token = _TOKEN
    """Bases of a bin of the tracks."""

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder).expanduser().resolve()
        place = self.path / ABOUT_FILE
        if not place.is_file():
            unfinished = (self.path / REQUEST_FILE).is_file()
            raise FileNotFoundError(
                f"{self.path} holds an unfinished scan; go on with er.tl.scan_ernas(…, resume=True)"
                if unfinished
                else f"{self.path} holds no scan; er.tl.scan_ernas writes one"
            )
        self.about: dict[str, Any] = json.loads(place.read_text())
        if self.about.get("format") != _FORMAT or int(self.about["version"]) > _VERSION:
            raise ValueError(f"{place} is no scan that this eregtools can read; update eregtools")
        self.chrom_sizes = {str(name): int(size) for name, size in self.about["chrom_sizes"]}
        self._samples: dict[str, dict[str, Any]] = self.about["samples"]
        self.samples = list(self._samples)

    def __repr__(self) -> str:
        return f"ErnaScan({str(self.path)!r}, {len(self.samples)} samples, {len(self.chrom_sizes)} chromosomes)"

    @property
    def fingerprint(self) -> str:
        """Hash of what was asked for."""
        return str(self.about["fingerprint"])

    @cached_property
    def mask(self) -> pd.DataFrame:
        """Regions in which nothing is called: Chromosome, Start, End."""
        with np.load(self.path / "mask.npz", allow_pickle=False) as held:
            return pd.DataFrame({name: held[name] for name in INTERVAL}).astype({Var.chromosome: object})

    def about_sample(self, sample: str) -> dict[str, Any]:
        """Return what is known of a biosample."""
        if sample not in self._samples:
            raise KeyError(f"{self.path} holds no scan of {sample!r}; it has {listed(self.samples)}")
        return self._samples[sample]

    def scanned(self, sample: str) -> list[str]:
        """Chromosomes that a model served in a biosample."""
        return [chrom for chrom in self.chrom_sizes if chrom in self.about_sample(sample)["models"]]

    def bigwig(self, sample: str) -> Path:
        """File of the probability track of a biosample.

        Raises
        ------
        FileNotFoundError
            No window of it had enough signal to be read.
        """
        if not (name := self.about_sample(sample)["bigwig"]):
            raise FileNotFoundError(f"no window of {sample} had enough signal to be read, so there is no track of it")
        return self.path / str(name)

    def track(self, sample: str, chrom: str, start: int = 0, end: int | None = None) -> NDArray[np.float32]:
        """Calibrated logits of the 32-bp bins of a region.

        Parameters
        ----------
        sample, chrom
            The chromosome of a biosample.
        start, end
            0-based half-open interval of whole bins; ``None``: to the end of the chromosome.

        Returns
        -------
        float32 ``(n_bins,)``, NaN where nothing was read. Their logistic function is the probability.
        """
        import zarr

        if chrom not in self.scanned(sample):
            raise KeyError(f"{chrom!r} of {sample} was not scanned; there are {listed(self.scanned(sample))}")
        if start % _TOKEN or (end is not None and end % _TOKEN):
            raise ValueError(f"{chrom}:{start}-{end} is not made of whole bins of {_TOKEN} bp")
        number = self.about_sample(sample)["number"]
        array: Any = zarr.open_array(str(self.path / "tracks" / str(number) / chrom), mode="r")
        last = array.shape[0] if end is None else end // _TOKEN
        return np.asarray(array[start // _TOKEN : last], dtype=np.float32)

    def model(self, sample: str, chrom: str) -> ERNAformer:
        """Network that scanned a chromosome."""
        from eregtools.models import ERNAformer

        key = str(self.about_sample(sample)["models"][chrom])
        return ERNAformer.load(self.path / "models" / key)

    def model_keys(self, sample: str) -> dict[str, list[str]]:
        """Chromosomes that each network scanned, by the name of its folder."""
        found: dict[str, list[str]] = {}
        for chrom, key in self.about_sample(sample)["models"].items():
            found.setdefault(str(key), []).append(chrom)
        return found


def recorded_scan(mdata: MuData, scan: ErnaScan | str | Path | None = None) -> ErnaScan:
    """Scan of the object.

    Parameters
    ----------
    mdata
        The object.
    scan
        The scan or its folder; ``None``: the one that the object records.

    Raises
    ------
    KeyError
        The object records none and none is given.
    ValueError
        The folder holds another scan than the object records.
    """
    known = mdata.uns.get(UNS, {}).get(Uns.erna_scan)
    if scan is not None:
        return scan if isinstance(scan, ErnaScan) else ErnaScan(scan)
    if known is None:
        raise KeyError("the object records no scan; run er.tl.scan_ernas first, or give scan=")
    opened = ErnaScan(str(known["path"]))
    if opened.fingerprint != known["fingerprint"]:
        raise ValueError(
            f"{opened.path} holds another scan than the object records; give scan= to take it all the same"
        )
    return opened


def record_scan(mdata: MuData, scan: ErnaScan) -> None:
    """Keep in the object where its scan is."""
    paths = [str(scan.path / name) if (name := scan.about_sample(one)["bigwig"]) else "" for one in scan.samples]
    entry(mdata)[Uns.erna_scan] = {
        "path": str(scan.path),
        "fingerprint": scan.fingerprint,
        "bigwig": pd.DataFrame({"path": paths}, index=scan.samples),
    }


def piece_path(folder: Path, number: int, chunk: Chunk) -> Path:
    """File of the logits of a chunk."""
    return folder / "pieces" / str(number) / chunk.chrom / f"{chunk.first}.npy"


def write_piece(path: Path, logits: NDArray[np.float32]) -> None:
    """Write the logits of a chunk; the file is whole or not there."""
    buffer = io.BytesIO()
    np.save(buffer, logits.astype(np.float16))
    with saying_where(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        store.write_bytes(buffer.getvalue(), path)


def write_mask(folder: Path, mask: pd.DataFrame) -> None:
    """Keep the regions in which nothing is called."""
    buffer = io.BytesIO()
    columns: dict[str, Any] = {name: mask[name].to_numpy() for name in INTERVAL}
    columns[Var.chromosome] = columns[Var.chromosome].astype(str)
    np.savez_compressed(buffer, **columns)
    with saying_where(folder):
        store.write_bytes(buffer.getvalue(), folder / "mask.npz")


def finish(
    folder: Path,
    chunks: Mapping[str, Mapping[str, Sequence[Chunk]]],
    chrom_sizes: Mapping[str, int],
    samples: Mapping[str, dict[str, Any]],
    about: Mapping[str, Any],
) -> None:
    """Join the pieces to tracks, write bigWig files, and say that the scan is done.

    Parameters
    ----------
    folder
        Of the scan.
    chunks
        ``{sample: {chromosome: chunks in order}}``.
    chrom_sizes
        Length of each chromosome in bases.
    samples
        What is known of each biosample, with its number; the path of its bigWig file is added.
    about
        What is known of the scan.
    """
    with saying_where(folder):
        names = _file_names(list(chunks))
        (folder / "bigwig").mkdir(exist_ok=True)
        for sample, parts in chunks.items():
            number = int(samples[sample]["number"])
            for chrom, pieces in parts.items():
                paths = [piece_path(folder, number, piece) for piece in pieces]
                n_read = _join(folder / "tracks" / str(number) / chrom, paths, chrom_sizes[chrom])
                samples[sample].setdefault("read", {})[chrom] = n_read
            sizes = {chrom: chrom_sizes[chrom] for chrom in chrom_sizes if chrom in parts}
            samples[sample]["bigwig"] = ""
            if any(samples[sample]["read"].values()):
                samples[sample]["bigwig"] = f"bigwig/{names[sample]}.bw"
                tracks = _probabilities(folder / "tracks" / str(number), sizes)
                write_bigwig(folder / samples[sample]["bigwig"], sizes, tracks, step=_TOKEN)
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "chrom_sizes": [[name, int(size)] for name, size in chrom_sizes.items()],
            "samples": samples,
            **about,
        }
        store.write_bytes(json.dumps(content, indent=1).encode(), folder / ABOUT_FILE)
    shutil.rmtree(folder / "pieces", ignore_errors=True)


@contextmanager
def saying_where(folder: Path) -> Iterator[None]:
    """Say of a full disk what to do about it."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OSError(
            f"the scan cannot be written to {folder} ({reason}); what is there is whole: make room and pass resume=True"
        ) from error


def _join(place: Path, pieces: Sequence[Path], size: int) -> int:
    """Write the track of a chromosome; the number of its bins that were read."""
    import zarr
    from zarr.codecs import BloscCodec

    n = -(-size // _TOKEN)
    values = np.concatenate([np.load(path, allow_pickle=False) for path in pieces])[:n]
    array: Any = zarr.create_array(
        str(place),
        shape=(n,),
        dtype="float16",
        chunks=(_INNER,),
        shards=(_OUTER,),
        compressors=BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"),
        fill_value=np.nan,
        overwrite=True,
    )
    array[:] = values
    return int(np.isfinite(values).sum())


def _probabilities(place: Path, sizes: Mapping[str, int]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Tracks as probabilities, to four digits, of which more would be noise of float16."""
    import zarr
    from scipy.special import expit

    for chrom in sizes:
        array: Any = zarr.open_array(str(place / chrom), mode="r")
        yield chrom, np.round(expit(np.asarray(array[:], dtype=np.float32)), 4)


def _file_names(samples: Sequence[str]) -> dict[str, str]:
    """Name of a file for each biosample, each once."""
    plain = {name: re.sub(r"[^\w.+-]", "_", name) for name in samples}
    found = list(plain.values())
    return {name: text if found.count(text) == 1 else f"{text}.{samples.index(name)}" for name, text in plain.items()}
