from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from eregtools.io.contacts import contact_of_pairs, contacts_info, read_contacts

SIZES = {"chr1": 100_500, "chr2": 60_000, "chr3": 40_000}
RESOLUTION = 1_000
HIC = "data/hic_small/test_chr22.hg19.hic"


def counts_of(seed=0) -> dict[str, np.ndarray]:
    """Symmetric counts of two chromosomes; chr3 is empty."""
    rng = np.random.default_rng(seed)
    out = {}
    for name in ("chr1", "chr2"):
        n = -(-SIZES[name] // RESOLUTION)
        upper = np.triu(rng.poisson(2.0, (n, n)))
        out[name] = upper + np.triu(upper, 1).T
    return out


def weights_of(divisive: bool) -> np.ndarray:
    n = sum(-(-size // RESOLUTION) for size in SIZES.values())
    weights = np.random.default_rng(1).uniform(0.5, 2.0, n)
    weights[[3, 120]] = np.nan
    return 1 / weights if divisive else weights


def write_cool(uri: str, columns: dict[str, np.ndarray], resolution=RESOLUTION) -> None:
    import cooler

    bins = cooler.binnify(pd.Series(SIZES), resolution)
    for name, values in columns.items():
        bins[name] = values[: len(bins)]
    parts, offset = [], 0
    for matrix in counts_of().values():
        step = resolution // RESOLUTION
        coarse = np.add.reduceat(
            np.add.reduceat(np.triu(matrix), range(0, len(matrix), step)), range(0, len(matrix), step), axis=1
        )
        i, j = np.nonzero(coarse)
        parts.append(pd.DataFrame({"bin1_id": i + offset, "bin2_id": j + offset, "count": coarse[i, j]}))
        offset += len(coarse)
    trans = pd.DataFrame({"bin1_id": [0, 1], "bin2_id": [len(bins) - 1, offset - 1], "count": [50, 60]})
    pixels = pd.concat([*parts, trans]).sort_values(["bin1_id", "bin2_id"])
    cooler.create_cooler(uri, bins, pixels, ordered=True, mode="a", assembly="toy1")


@pytest.fixture
def cool(tmp_path):
    path = tmp_path / "toy.cool"
    write_cool(str(path), {"weight": weights_of(False), "KR": np.full(500, np.nan), "VC": weights_of(True)})
    return path


def expected(name: str, weights: np.ndarray | None = None) -> np.ndarray:
    counts = counts_of()[name].astype(float)
    if weights is None:
        return counts
    first = {"chr1": 0, "chr2": 101}[name]
    here = weights[first : first + len(counts)]
    return counts * here[:, None] * here[None, :]


# --- .cool and .mcool


def test_every_pair_in_both_orders(cool):
    band = read_contacts(cool, chromosome="chr1", resolution=RESOLUTION)
    assert (band.normalization, band.unit) == ("weight", "balanced frequency")  # KR has no value anywhere
    assert (band.n_bins, band.size) == (101, 100_500)
    a, b = (x.ravel() * RESOLUTION + 499 for x in np.indices((101, 101)))
    truth = expected("chr1", weights_of(False)).ravel()
    np.testing.assert_allclose(band.at(a, b), truth, rtol=1e-12)
    np.testing.assert_allclose(band.at(b, a), truth, rtol=1e-12)
    assert np.isnan(truth).sum() == 2 * 101 - 1
    assert (truth == 0).any()


@pytest.mark.parametrize("normalization", ["VC", "weight", "ICE"])
def test_divisive_and_multiplicative_weights_agree(cool, normalization):
    band = read_contacts(cool, chromosome="2", resolution=RESOLUTION, normalization=normalization)
    assert band.unit == ("balanced counts" if normalization == "VC" else "balanced frequency")
    truth = expected("chr2", weights_of(False))
    a, b = (x.ravel() * RESOLUTION for x in np.indices(truth.shape))
    np.testing.assert_allclose(band.at(a, b), truth.ravel(), rtol=1e-12)


def test_stated_kind_of_weights_wins_over_the_name(cool):
    import h5py

    with h5py.File(cool, "a") as file:
        file["bins/VC"].attrs["divisive_weights"] = False
    band = read_contacts(cool, chromosome="chr2", resolution=RESOLUTION, normalization="VC")
    np.testing.assert_allclose(band.at([5_000], [9_000]), expected("chr2", weights_of(True))[5, 9])


def test_counts_agree_with_cooler(cool):
    import cooler

    band = read_contacts(cool, chromosome="chr2", resolution=RESOLUTION, normalization="NONE")
    dense = cooler.Cooler(str(cool)).matrix(balance=False).fetch("chr2")
    assert np.array_equal(band.matrix.toarray(), np.triu(dense))
    assert band.unit == "counts"
    assert not band.missing.any()


def test_band_ends_at_max_distance(cool):
    band = read_contacts(cool, chromosome="chr1", resolution=RESOLUTION, max_distance=4_999, normalization="NONE")
    i, j = band.matrix.nonzero()
    assert (j - i).max() == 4
    assert (j >= i).all()
    near, far = band.at(10_000, [14_999, 15_000])
    assert near == expected("chr1")[10, 14]
    assert np.isnan(far)


def test_small_chunks_read_the_same(cool, monkeypatch):
    whole = read_contacts(cool, chromosome="chr1", resolution=RESOLUTION)
    monkeypatch.setattr("eregtools.io._cool_file._CHUNK_PIXELS", 17)
    parts = read_contacts(cool, chromosome="chr1", resolution=RESOLUTION)
    assert (whole.matrix != parts.matrix).nnz == np.isnan(whole.matrix.data).sum()  # NaN is not equal to itself


def test_mcool_has_several_resolutions(tmp_path):
    path = tmp_path / "toy.mcool"
    for resolution in (1_000, 5_000):
        write_cool(f"{path}::/resolutions/{resolution}", {}, resolution)
    info = contacts_info(path)
    assert info.resolutions == (1_000, 5_000)
    assert info.normalizations == {1_000: ("NONE",), 5_000: ("NONE",)}
    assert (info.format, info.assembly, info.chrom_sizes) == ("cool", "toy1", SIZES)
    coarse = read_contacts(path, chromosome="chr2", resolution=5_000)
    assert coarse.matrix.sum() == np.triu(expected("chr2")).sum()
    assert contacts_info(f"{path}::/resolutions/5000").resolutions == (5_000,)


def test_pairs_of_several_chromosomes_in_any_order(cool):
    rng = np.random.default_rng(2)
    chroms = rng.choice(["chr1", "2"], 400)
    a, b = rng.integers(0, 60_000, (2, 400))
    values = contact_of_pairs(cool, chroms, a, b, resolution=RESOLUTION)
    truth = {"chr1": expected("chr1", weights_of(False)), "2": expected("chr2", weights_of(False))}
    np.testing.assert_allclose(
        values, [truth[c][i, j] for c, i, j in zip(chroms, a // 1_000, b // 1_000, strict=True)], rtol=1e-12
    )
    order = rng.permutation(400)
    np.testing.assert_array_equal(
        contact_of_pairs(cool, chroms[order], b[order], a[order], resolution=RESOLUTION), values[order]
    )


def test_pairs_without_contacts_are_nan_and_counted(cool, caplog):
    values = contact_of_pairs(cool, ["chr1", "chr3", "chr9"], [0, 0, 0], [5, 5, 5], resolution=RESOLUTION)
    assert np.isfinite(values).tolist() == [True, False, False]
    assert "2 of 3 pairs have no contact frequency" in caplog.text
    assert len(caplog.records) == 1
    assert contact_of_pairs(cool, [], [], []).shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"resolution": 7}, ValueError, r"has no resolution 7; it has 1000"),
        ({"normalization": "SCALE"}, ValueError, r"no normalization 'SCALE' at resolution 1000; it has .*weight.*NONE"),
        ({"normalization": "KR"}, ValueError, r"'KR' has no value on chr1"),
        ({"chromosome": "chr9"}, KeyError, r"'chr9' is not in .*3 chromosomes: chr1, chr2, chr3"),
        ({"chromosome": "chr3"}, ValueError, r"no contact on chr3 at resolution 1000"),
        ({"chrom_sizes": {"1": 100_499}}, ValueError, r"Wrong assembly: chr1 has 100500 .* toy1, but 100499"),
        ({"max_distance": -1}, ValueError, r"max_distance is -1"),
    ],
)
def test_what_the_file_does_not_have(cool, arguments, error, message):
    with pytest.raises(error, match=message):
        read_contacts(cool, **{"chromosome": "chr1", "resolution": RESOLUTION, **arguments})


def test_agreeing_chromosome_lengths_are_accepted(cool):
    read_contacts(cool, chromosome="1", resolution=RESOLUTION, chrom_sizes={"1": 100_500, "2": 1})


def test_positions_off_the_chromosome(cool):
    band = read_contacts(cool, chromosome="chr1", resolution=RESOLUTION)
    for position in (-1, 100_500):
        with pytest.raises(ValueError, match=r"not on chr1 .* assembly is probably wrong"):
            band.at([0], [position])
    with pytest.raises(ValueError, match="expected whole numbers"):
        band.at([0.5], [1])
    with pytest.raises(ValueError, match="not on chr2"):
        contact_of_pairs(cool, "chr2", [60_000], [0], resolution=RESOLUTION)
    with pytest.raises(ValueError, match="2 chroms, 1 a and 1 b"):
        contact_of_pairs(cool, ["chr2", "chr2"], [1], [0], resolution=RESOLUTION)


def test_bad_files(tmp_path, cool):
    import h5py

    with pytest.raises(FileNotFoundError, match=r"no\.hic is not a file; expected a \.hic, \.cool or \.mcool"):
        read_contacts(tmp_path / "no.hic", chromosome="chr1")
    (tmp_path / "text.cool").write_text("chr1\t1\t2\n")
    with pytest.raises(ValueError, match=r"is not a \.hic, \.cool or \.mcool file"):
        contacts_info(tmp_path / "text.cool")
    (tmp_path / "cut.cool").write_bytes(cool.read_bytes()[:20_000])
    with pytest.raises(ValueError, match="truncated"):
        contacts_info(tmp_path / "cut.cool")
    with h5py.File(tmp_path / "other.cool", "w") as file:
        file["x"] = [1]
    with pytest.raises(ValueError, match=r"other\.cool .*no \.hic, \.cool"):
        contacts_info(tmp_path / "other.cool")


def test_missing_library_is_named(tmp_path, monkeypatch):
    path, library = tmp_path / "contacts", "hictkpy"
    path.write_bytes(b"HIC\0")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == library else find(name, *rest))
    with pytest.raises(ImportError, match=rf"{library}.*pip install 'eregtools\[hic\]'"):
        contacts_info(path)


def test_older_cool_of_cooler_itself(shared):
    import cooler

    path = shared / "data/hic_small/hg19.GM12878-MboI.matrix.2000kb.cool"
    band = read_contacts(path, chromosome="1", resolution=2_000_000)
    assert band.normalization == "NONE"
    assert np.array_equal(band.matrix.toarray(), np.triu(cooler.Cooler(str(path)).matrix(balance=False).fetch("chr1")))


# --- .hic

needs_hictkpy = pytest.mark.skipif(importlib.util.find_spec("hictkpy") is None, reason="hictkpy is not installed")

PEER = """
import hictkpy, json, os, sys
file = hictkpy.File(sys.argv[1], 5000)
def pixels(region, normalization):
    found = file.fetch(region, normalization=normalization, count_type="float64").to_coo()
    return [found.row.tolist(), found.col.tolist(), found.data.tolist()]
print(json.dumps({n: pixels("22:20,000,000-24,000,000", n) for n in ("NONE", "VC", "VC_SQRT")}), flush=True)
os._exit(0)
"""


@needs_hictkpy
def test_hic_agrees_with_hictkpy(shared):
    path = shared / HIC
    found = subprocess.run([sys.executable, "-c", PEER, str(path)], capture_output=True, text=True, check=True)
    for normalization, (row, column, data) in json.loads(found.stdout).items():
        band = read_contacts(path, chromosome="chr22", normalization=normalization)
        values = band.at(20_000_000 + 5_000 * np.array(column), 20_000_000 + 5_000 * np.array(row) + 4_999)
        assert len(data) > 1_000
        np.testing.assert_allclose(values, data, rtol=1e-5)
        inside = band.matrix[4_000:4_800, 4_000:4_800]
        assert inside.nnz == len(data)


WRITE = """
import hictkpy, json, os, sys
import pandas as pd
file = hictkpy.hic.FileWriter(sys.argv[1], json.loads(sys.argv[2]), 1000, assembly="toy1")
file.add_pixels(pd.DataFrame(json.loads(sys.argv[3]), columns=["bin1_id", "bin2_id", "count"]))
file.finalize()
os._exit(0)
"""


@needs_hictkpy
def test_hic_of_known_counts(tmp_path):
    path = tmp_path / "toy.hic"
    parts = [np.argwhere(np.triu(matrix)) for matrix in counts_of().values()]
    counts = [matrix[tuple(ij.T)] for matrix, ij in zip(counts_of().values(), parts, strict=True)]
    pixels = [np.column_stack([ij + first, n]) for ij, n, first in zip(parts, counts, (0, 101), strict=True)]
    table = np.concatenate(pixels).tolist()
    subprocess.run([sys.executable, "-c", WRITE, str(path), json.dumps(SIZES), json.dumps(table)], check=True)
    assert contacts_info(path).assembly == "toy1"
    rng = np.random.default_rng(2)
    chroms = rng.choice(["chr1", "2", "chr3"], 400)
    a, b = rng.integers(0, 40_000, (2, 400))
    values = contact_of_pairs(path, chroms, a, b, resolution=np.int64(1_000))
    truth = {"chr1": expected("chr1"), "2": expected("chr2"), "chr3": np.full((60, 60), np.nan)}
    np.testing.assert_array_equal(
        values, [truth[c][i, j] for c, i, j in zip(chroms, a // 1_000, b // 1_000, strict=True)]
    )
    band = read_contacts(path, chromosome="chr2", resolution=1_000, max_distance=np.int64(3_000))
    assert np.array_equal(band.matrix.toarray(), np.triu(expected("chr2")) - np.triu(expected("chr2"), 4))


@needs_hictkpy
def test_hic_counts_and_facts(shared):
    info = contacts_info(shared / HIC)
    assert (info.format, info.assembly, info.resolutions[0]) == ("hic", "hg19", 5_000)
    assert info.normalizations[5_000] == ("KR", "VC", "VC_SQRT", "NONE")
    assert info.chrom_sizes["22"] == 51_304_566
    band = read_contacts(shared / HIC, chromosome="22", normalization="NONE")
    assert (band.matrix.nnz, band.matrix.sum(), band.n_bins) == (24_402, 27_174, 10_261)
    automatic = read_contacts(shared / HIC, chromosome="22", max_distance=50_000)
    assert automatic.normalization == "VC_SQRT"  # KR did not converge on this chromosome
    i, j = automatic.matrix.nonzero()
    assert (j - i).max() == 10
    assert automatic.missing.sum() == 3_350


@needs_hictkpy
def test_hictkpy_stays_out_of_this_process(shared):
    program = f"""
import sys
from eregtools.io.contacts import contact_of_pairs
path = {str(shared / HIC)!r}
print(contact_of_pairs(path, ["22", "chr22"], [20_000_000] * 2, [20_000_000] * 2, normalization="NONE"))
assert not [name for name in sys.modules if name.startswith("hictkpy")]
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@needs_hictkpy
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"resolution": 7}, ValueError, r"has no resolution 7; it has 5000, 10000"),
        ({"normalization": "SCALE"}, ValueError, r"no normalization 'SCALE'.*it has KR, VC, VC_SQRT, NONE"),
        ({"normalization": "KR"}, ValueError, r"'KR' has no value on chr22"),
        ({"chromosome": "chr21"}, ValueError, r"no contact on chr21"),
        ({"chromosome": "chrUn"}, KeyError, r"'chrUn' is not in"),
        ({"chrom_sizes": {"chr22": 50_818_468}}, ValueError, r"Wrong assembly: .* it is hg19, but 50818468"),
    ],
)
def test_what_the_hic_does_not_have(shared, arguments, error, message):
    with pytest.raises(error, match=message):
        read_contacts(shared / HIC, **{"chromosome": "chr22", **arguments})


@needs_hictkpy
@pytest.mark.parametrize("length", [50, 100_000, 1_182_000, 1_500_000])
def test_truncated_hic(shared, tmp_path, length):
    path = tmp_path / "cut.hic"
    path.write_bytes((shared / HIC).read_bytes()[:length])
    with pytest.raises(ValueError, match=r"cut\.hic is truncated, damaged"):
        read_contacts(path, chromosome="chr22")
