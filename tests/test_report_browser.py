"""The page in Chromium, from a file, at desktop and phone width. Needs ``pip install playwright``.

The browser is Playwright's own (``playwright install chromium``), or the program that ``EREGTOOLS_CHROMIUM`` names.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

import eregtools as er
from eregtools._schema import put_layer
from erna_study import make_erna_study
from report_world import add_predictions, make_object

pytestmark = pytest.mark.browser

WIDTHS = {"desktop": 1280, "phone": 390}


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        program = os.environ.get("EREGTOOLS_CHROMIUM")
        try:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"Chromium does not start ({str(error).splitlines()[0]}); run playwright install chromium")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Page of two biosamples; what the links of gene 5 score; the object."""
    mdata = make_object(200, samples=("K562", "GM12878"), scores=("abc", "contact"))
    add_predictions(mdata)
    put_layer(mdata, "links", "perturbation", np.random.default_rng(4).normal(-0.1, 0.1, mdata["links"].shape))
    path = tmp_path_factory.mktemp("report") / "report.html"
    er.report.write_report(mdata, path, n_bootstrap=0)
    return path, mdata


@pytest.fixture(scope="module")
def report_of_loci(tmp_path_factory):
    """Page of loci of enhancer RNA, two biosamples; the object."""
    folder = tmp_path_factory.mktemp("loci")
    _, mdata = make_erna_study(folder)
    er.pp.link(mdata, max_distance=30_000)
    del mdata["ernas"].var["label"]
    rng = np.random.default_rng(2)
    put_layer(mdata, "ernas", "qvalue", rng.random(mdata["ernas"].shape))
    put_layer(mdata, "ernas", "candidate", rng.random(mdata["ernas"].shape) < 0.7)
    er.report.write_report(mdata, folder / "report.html", n_bootstrap=0)
    return folder / "report.html", mdata


@pytest.fixture(params=WIDTHS)
def opened(request, chromium, report):
    """Open page; whatever goes wrong on it, and each thing it loads but itself, fails the test."""
    yield from opened_page(request, chromium, report[0])


@pytest.fixture(params=WIDTHS)
def opened_loci(request, chromium, report_of_loci):
    yield from opened_page(request, chromium, report_of_loci[0])


def opened_page(request, chromium, path):
    page = chromium.new_page(viewport={"width": WIDTHS[request.param], "height": 900})
    wrong, loaded = [], []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: loaded.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("#browser:not([hidden])")
    yield page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert wrong == []
    assert loaded == [path.as_uri()]
    page.close()


def column(page, table, number):
    return page.locator(f"{table} tbody tr td:nth-child({number})").all_inner_texts()


def test_a_gene_is_found_and_drawn(opened, report):
    _, mdata = report
    opened.fill("#search", "gene5")
    assert column(opened, "#genes-table", 1)[0] == "GENE5"
    opened.click("#genes-table .pick >> nth=0")
    opened.wait_for_function("location.hash === '#gene=ENSG00000000005'")
    assert opened.inner_text("#locus-title") == "GENE5 (ENSG00000000005)"
    links = er.get.links(mdata, gene="GENE5", sample="K562")
    assert opened.locator("#drawing .hit").count() == opened.locator("#drawing .arc").count() == len(links)
    assert sorted(column(opened, "#locus-links", 1)) == sorted(links["enhancer"])


def test_the_address_opens_a_gene(opened):
    opened.evaluate("location.hash = '#gene=ENSG00000000042'")
    opened.wait_for_function("document.getElementById('locus-title').textContent.startsWith('GENE42 ')")


def test_tables_sort_and_turn_pages(opened, report):
    _, mdata = report
    observed = mdata["genes"].to_df("RNA").loc["K562"]
    opened.click("#genes-table th:nth-child(3) button")
    assert opened.get_attribute("#genes-table th:nth-child(3)", "aria-sort") == "descending"
    assert column(opened, "#genes-table", 1)[0] == mdata["genes"].var.loc[observed.idxmax(), "gene_name"]
    opened.click("#genes-table th:nth-child(3) button")
    assert column(opened, "#genes-table", 1)[0] == mdata["genes"].var.loc[observed.idxmin(), "gene_name"]
    opened.click("#genes-table .pager button >> nth=1")
    assert opened.inner_text("#genes-table output") == "11–20 of 200 genes"


def test_links_are_searched_by_region(opened, report):
    _, mdata = report
    opened.check("input[value=links]")
    opened.fill("#search", "chr2:100,000-200,000")
    links = er.get.links(mdata, sample="K562")
    near = (links["Chromosome"] == "chr2") & (links["Start"] < 200_000) & (links["End"] > 100_000)
    assert near.sum() > 0
    assert opened.inner_text("#links-table output").endswith(f"of {near.sum()} links")
    first = column(opened, "#links-table", 1)[0]
    opened.click("#links-table .pick >> nth=0")
    opened.wait_for_selector("#tip:not([hidden])")
    assert opened.inner_text("#tip strong") == first


def test_keys_walk_through_the_enhancers(opened, report):
    _, mdata = report
    opened.evaluate("location.hash = '#gene=ENSG00000000007'")
    opened.wait_for_function("document.getElementById('locus-title').textContent.startsWith('GENE7 ')")
    links = er.get.links(mdata, gene="GENE7", sample="K562").sort_values("Start")
    opened.locator("#drawing .hit[tabindex='0']").focus()
    for name, abc in zip(links["enhancer"], links["abc"], strict=True):
        lines = opened.inner_text("#tip").split("\n")
        assert lines[0] == name
        assert float(next(line for line in lines if line.startswith("abc")).split()[-1]) == pytest.approx(abc, rel=6e-3)
        assert opened.inner_text("#locus-links tr[aria-current=true] td >> nth=0") == name
        opened.keyboard.press("ArrowRight")
    opened.keyboard.press("Escape")
    assert opened.is_hidden("#tip")


def test_score_and_biosample_are_chosen(opened, report):
    _, mdata = report
    opened.evaluate("location.hash = '#gene=ENSG00000000009'")
    opened.wait_for_function("document.getElementById('locus-title').textContent.startsWith('GENE9 ')")
    opened.select_option("#sample", label="GM12878")
    opened.select_option("#score", label="perturbation")
    links = er.get.links(mdata, gene="GENE9", sample="GM12878")
    assert opened.locator("#drawing .arc.below").count() == (links["perturbation"] < 0).sum()
    assert "perturbation (% change)" in opened.text_content("#drawing")


def test_zoom_stays_within_the_locus(opened):
    whole = opened.text_content("#drawing")
    boxes = opened.locator("#drawing .box").count()
    for _ in range(3):
        opened.click("#zoom-in")
    assert opened.locator("#drawing .box").count() < boxes
    opened.click("#whole")
    assert opened.text_content("#drawing") == whole
    opened.click("#zoom-out")
    opened.click("#go-left")
    assert opened.text_content("#drawing") == whole


def test_a_locus_of_enhancer_rna_is_found_and_drawn(opened_loci, report_of_loci):
    _, mdata = report_of_loci
    ernas = mdata["ernas"]
    own = ernas.layers["candidate"][0] > 0
    opened_loci.check("input[value=ernas]")
    assert opened_loci.inner_text("#ernas-table output") == f"1–10 of {own.sum()} loci"
    q = np.where(own, ernas.layers["qvalue"][0], np.inf)
    assert column(opened_loci, "#ernas-table", 1) == list(ernas.var_names[np.argsort(q)[:10]])
    opened_loci.fill("#search", "chr2:100,000-200,000")
    var = ernas.var
    near = own & ((var["Chromosome"] == "chr2") & (var["Start"] < 200_000) & (var["End"] > 100_000)).to_numpy()
    assert opened_loci.inner_text("#ernas-table output").endswith(f"of {near.sum()} loci")
    name = ernas.var_names[np.argmin(np.where(near, q, np.inf))]
    opened_loci.click("#ernas-table .pick >> nth=0")
    opened_loci.wait_for_function("location.hash.startsWith('#locus=eRNA')")
    assert opened_loci.inner_text("#locus-title") == name
    assert opened_loci.locator("#drawing path.coverage").count() == 2
    assert opened_loci.locator("#drawing .call.own").count() == 1
    assert opened_loci.locator("#drawing .arc").count() == 0
    whole = opened_loci.text_content("#drawing")
    opened_loci.click("#zoom-in")
    assert opened_loci.text_content("#drawing") != whole
    opened_loci.select_option("#sample", label="s2")
    assert opened_loci.inner_text("#locus-title") == name


def test_a_locus_leads_to_a_gene_and_back(opened_loci, report_of_loci):
    _, mdata = report_of_loci
    name = mdata["ernas"].var_names[5]
    opened_loci.evaluate(f"location.hash = '#locus={name}'")
    opened_loci.wait_for_function(f"document.getElementById('locus-title').textContent === '{name}'")
    gene = mdata["genes"].var_names[0]
    opened_loci.evaluate(f"location.hash = '#gene={gene}'")
    opened_loci.wait_for_function(f"document.getElementById('locus-title').textContent.includes('{gene}')")
    assert opened_loci.locator("#drawing path.coverage").count() == 0
    first = opened_loci.locator("#drawing .call >> nth=0")
    said = first.get_attribute("aria-label")
    first.focus()
    opened_loci.keyboard.press("Enter")
    opened_loci.wait_for_function("location.hash.startsWith('#locus=')")
    assert said.startswith(f"Show {opened_loci.inner_text('#locus-title')}")
