// Search, tables and the figure together; the gene that is shown stands in the address.

const byId = (id) => document.getElementById(id);

function started(loci) {
  const hasLinks = loci.links !== null;
  const state = { sample: 0, score: 0, gene: null };
  const genesTable = new PagedTable(byId("genes-table"), { caption: "Genes", perPage: 10, noun: "genes" });
  const linksTable = hasLinks ? new PagedTable(byId("links-table"), { caption: "Links", perPage: 10, noun: "links" }) : null;
  const ownTable = hasLinks
    ? new PagedTable(byId("locus-links"), { caption: "Links of the gene", perPage: 10, noun: "links of this gene" })
    : null;
  const figure = new LocusFigure(loci, byId("figure"), {
    onGene: (gene) => go(gene),
    onActive: (link) => {
      if (!ownTable) return;
      ownTable.current = (row) => row === link;
      if (link !== null && figure.pinned) ownTable.reveal(link);
      ownTable.mark();
    },
  });
  let strongest = null;

  const go = (gene) => {
    const wanted = `gene=${encodeURIComponent(loci.genes.id[gene])}`;
    if (location.hash.slice(1) === wanted) opened();
    else location.hash = wanted;
  };

  function named() {
    const found = /^#gene=(.*)$/.exec(location.hash);
    if (!found) return null;
    try {
      const gene = loci.byId.get(decodeURIComponent(found[1]));
      return gene !== undefined && loci.genes.listed[gene] ? gene : null;
    } catch (error) {
      if (error instanceof URIError) return null;
      throw error;
    }
  }

  function opened() {
    const gene = named();
    if (gene === null) return;
    choose(gene);
    byId("locus").scrollIntoView({ block: "start" });
    byId("locus-title").focus({ preventScroll: true });
  }

  function pick(text, action, said) {
    const button = el("button", { type: "button", class: "pick", "aria-label": said }, text);
    button.addEventListener("click", action);
    return button;
  }

  const scoreColumns = () => loci.links.scores.map((score) => ({
    name: score.name, unit: score.unit, number: true, value: (link) => score.values[state.sample][link],
  }));

  const distanceColumn = {
    name: "distance", unit: "kb, − upstream", number: true, value: (link) => loci.distance(link) / 1000,
  };

  function geneColumns() {
    const { genes } = loci;
    const columns = [
      { name: "gene", value: (gene) => genes.name[gene], node: (gene) => pick(genes.name[gene], () => go(gene)) },
      {
        name: "TSS", unit: loci.genome,
        value: (gene) => `${loci.chromosomes[genes.chromosome[gene]]}:${genes.tss[gene]}`,
        node: (gene) => `${loci.chromosomes[genes.chromosome[gene]]}:${whole(genes.tss[gene])} ${genes.strand[gene].replace("-", "\u2212").replace(".", "")}`,
      },
      ...loci.columns.map((column) => ({
        name: column.name, unit: column.unit, number: true, value: (gene) => column.values[state.sample][gene],
      })),
    ];
    if (!hasLinks) return columns;
    columns.push({ name: "links", number: true, value: (gene) => strongest.count[gene] });
    if (loci.links.scores.length) {
      const score = loci.links.scores[state.score];
      const values = score.values[state.sample];
      const of = (gene, told) => (strongest.link[gene] === null ? null : told(strongest.link[gene]));
      columns.push(
        { name: `strongest ${score.name}`, unit: score.unit, number: true, value: (gene) => of(gene, (link) => values[link]) },
        { name: "its distance", unit: "kb", number: true, value: (gene) => of(gene, (link) => loci.distance(link) / 1000) },
      );
    }
    return columns;
  }

  const linkColumns = (onPick, gene) => [
    {
      name: "enhancer", value: (link) => loci.enhancerName(loci.links.enhancer[link]),
      node: (link) => pick(loci.enhancerName(loci.links.enhancer[link]), () => onPick(link)),
    },
    ...(gene ? [{ name: "gene", value: (link) => loci.genes.name[loci.links.gene[link]] }] : []),
    ...(loci.enhancers.class ? [{ name: "class", value: (link) => loci.enhancers.class[loci.links.enhancer[link]] }] : []),
    distanceColumn,
    ...scoreColumns(),
  ];

  // Number of links of each gene, and the one with the largest score.
  function summed() {
    const link = new Array(loci.genes.id.length).fill(null);
    const count = new Array(loci.genes.id.length).fill(0);
    const values = loci.links.scores.length ? loci.links.scores[state.score].values[state.sample] : null;
    for (const one of loci.ownLinks(state.sample)) {
      const gene = loci.links.gene[one];
      count[gene] += 1;
      if (!values || values[one] === null) continue;
      if (link[gene] === null || Math.abs(values[one]) > Math.abs(values[link[gene]])) link[gene] = one;
    }
    return { link, count };
  }

  function searched() {
    const { genes, enhancers, links } = loci;
    const { name, meets } = query(byId("search").value, loci.chromosomes);
    if (!hasLinks || byId("links-table").hidden) {
      const closeness = (gene) => Math.min(name(genes.name[gene]), name(genes.id[gene]), meets(genes, gene) ? 0 : Infinity);
      const found = loci.listed.map((gene) => [gene, closeness(gene)]).filter(([, far]) => far < Infinity);
      genesTable.setRows(found.sort((a, b) => a[1] - b[1]).map(([gene]) => gene));
      return;
    }
    const ofGene = genes.id.map((_, gene) => Math.min(name(genes.name[gene]), name(genes.id[gene])) < Infinity);
    const ofEnhancer = enhancers.start.map((_, one) => meets(enhancers, one) || name(loci.enhancerName(one)) < Infinity);
    linksTable.setRows(loci.ownLinks(state.sample).filter((link) => ofGene[links.gene[link]] || ofEnhancer[links.enhancer[link]]));
  }

  function relabelled() {
    if (hasLinks) strongest = summed();
    genesTable.setColumns(geneColumns());
    if (hasLinks) {
      linksTable.setColumns(linkColumns((link) => {
        const gene = loci.links.gene[link];
        go(gene);
        figure.waiting = link;
        if (state.gene === gene) figure.activate(link);
      }, true));
      ownTable.setColumns(linkColumns((link) => {
        figure.activate(link);
        byId("figure").scrollIntoView({ block: "nearest" });
      }, false));
    }
    searched();
    if (state.gene !== null) {
      if (hasLinks) ownTable.setRows(loci.linksOf(state.gene, state.sample));
      figure.restyle({ sample: state.sample, score: state.score });
    }
  }

  function choose(gene) {
    state.gene = gene;
    genesTable.current = (row) => row === gene;
    genesTable.mark();
    const { genes } = loci;
    byId("locus-title").textContent = loci.geneTitle(gene);
    const strand = { "+": ", forward strand", "-": ", reverse strand", ".": "" }[genes.strand[gene]];
    byId("locus-about").textContent = `${loci.chromosomes[genes.chromosome[gene]]}:${whole(genes.viewStart[gene])}–${whole(genes.viewEnd[gene])}, TSS at ${whole(genes.tss[gene])}${strand}. ${told(gene)}`;
    if (hasLinks) ownTable.setRows(loci.linksOf(gene, state.sample));
    figure.show({ gene, sample: state.sample, score: state.score });
    if (figure.waiting !== undefined && loci.links?.gene[figure.waiting] === gene) figure.activate(figure.waiting);
    figure.waiting = undefined;
  }

  const told = (gene) => loci.columns
    .map((column) => `${column.name}: ${written(column.values[state.sample][gene])}`)
    .join("; ");

  function offered(id, names, changed) {
    const select = byId(id);
    if (!select) return;
    select.replaceChildren(...names.map((name, number) => el("option", { value: number }, name)));
    select.closest("label").hidden = names.length < 2;
    select.addEventListener("change", () => changed(Number(select.value)));
  }

  offered("sample", loci.samples, (sample) => {
    state.sample = sample;
    relabelled();
    if (state.gene !== null) choose(state.gene);
  });
  offered("score", hasLinks ? loci.links.scores.map((score) => score.name) : [], (score) => {
    state.score = score;
    relabelled();
  });
  byId("search").addEventListener("input", searched);
  for (const radio of document.querySelectorAll("input[name=what]")) {
    radio.addEventListener("change", () => {
      byId("genes-table").hidden = radio.value !== "genes";
      byId("links-table").hidden = radio.value !== "links";
      searched();
    });
  }
  byId("zoom-in").addEventListener("click", () => figure.zoom(0.5));
  byId("zoom-out").addEventListener("click", () => figure.zoom(2));
  byId("go-left").addEventListener("click", () => figure.zoom(1, -0.25));
  byId("go-right").addEventListener("click", () => figure.zoom(1, 0.25));
  byId("whole").addEventListener("click", () => figure.zoom(Infinity));
  addEventListener("hashchange", opened);

  byId("browser").hidden = false;
  relabelled();
  const scored = hasLinks && loci.links.scores.length ? loci.links.scores[0].values[0] : null;
  const weight = (link) => (scored && scored[link] !== null ? 1000 : 1);
  const linked = (gene) => (hasLinks ? loci.linksOf(gene, 0).reduce((sum, link) => sum + weight(link), 0) : 0);
  choose(loci.listed.reduce((best, gene) => (linked(gene) > linked(best) ? gene : best), loci.listed[0]));
  opened();
}

unpacked("data").then((content) => started(new Loci(content))).catch((error) => {
  byId("trouble").textContent = `The tables cannot be shown (${error.message}). They need a browser of 2023 or later.`;
  byId("trouble").hidden = false;
  throw error;
});
