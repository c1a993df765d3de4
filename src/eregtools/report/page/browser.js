// Search, tables and the figure together; the gene that is shown stands in the address.

const byId = (id) => document.getElementById(id);

function started(loci) {
  const hasLinks = loci.links !== null;
  const hasGenes = loci.listed.length > 0;
  const hasErnas = loci.ernas !== null && loci.ernas.start.length > 0;
  const state = { sample: 0, score: 0, gene: null, erna: null };
  const genesTable = new PagedTable(byId("genes-table"), { caption: "Genes", perPage: 10, noun: "genes" });
  const linksTable = hasLinks ? new PagedTable(byId("links-table"), { caption: "Links", perPage: 10, noun: "links" }) : null;
  const ownTable = hasLinks
    ? new PagedTable(byId("locus-links"), { caption: "Links of the gene", perPage: 10, noun: "links of this gene" })
    : null;
  const ernasTable = hasErnas
    ? new PagedTable(byId("ernas-table"), { caption: "Loci of enhancer RNA", perPage: 10, noun: "loci" })
    : null;
  const figure = new LocusFigure(loci, byId("figure"), {
    onGene: (gene) => go(gene),
    onErna: (erna) => goToErna(erna),
    onActive: (link) => {
      if (!ownTable) return;
      ownTable.current = (row) => row === link;
      if (link !== null && figure.pinned) ownTable.reveal(link);
      ownTable.mark();
    },
  });
  let strongest = null;

  const goTo = (wanted) => {
    if (location.hash.slice(1) === wanted) opened();
    else location.hash = wanted;
  };
  const go = (gene) => goTo(`gene=${encodeURIComponent(loci.genes.id[gene])}`);
  const goToErna = (erna) => goTo(`locus=${encodeURIComponent(loci.ernaName(erna))}`);

  // Gene or locus of enhancer RNA that the address names.
  function named() {
    const found = /^#(gene|locus)=(.*)$/.exec(location.hash);
    if (!found) return null;
    try {
      const name = decodeURIComponent(found[2]);
      if (found[1] === "locus") return loci.ernaByName.has(name) ? { erna: loci.ernaByName.get(name) } : null;
      const gene = loci.byId.get(name);
      return gene !== undefined && loci.genes.listed[gene] ? { gene } : null;
    } catch (error) {
      if (error instanceof URIError) return null;
      throw error;
    }
  }

  function opened() {
    const found = named();
    if (found === null) return;
    if (found.erna === undefined) choose(found.gene);
    else chooseErna(found.erna);
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

  const ernaColumns = () => [
    { name: "locus", value: (erna) => loci.ernaName(erna), node: (erna) => pick(loci.ernaName(erna), () => goToErna(erna)) },
    { name: "width", unit: "bp", number: true, value: (erna) => loci.ernas.end[erna] - loci.ernas.start[erna] },
    ...loci.ernas.columns.map((column) => ({
      name: column.name, unit: column.unit, number: true, rising: column.key === "qvalue",
      value: (erna) => column.values[state.sample][erna],
    })),
    ...loci.ernas.words.map((column) => ({ name: column.name, value: (erna) => column.values[erna] })),
  ];

  // Loci of the biosample, the clearest first.
  function clearest() {
    const [q, probability] = ["qvalue", "probability"].map((key) => loci.ernaColumn(key)?.values[state.sample]);
    const key = (erna) => (q ? q[erna] ?? Infinity : 0);
    const chance = (erna) => (probability ? probability[erna] ?? -1 : 0);
    return loci.ownErnas(state.sample).sort((a, b) => key(a) - key(b) || chance(b) - chance(a) || a - b);
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
    if (hasErnas && !byId("ernas-table").hidden) {
      const words = (erna) => Math.min(name(loci.ernaName(erna)), ...loci.ernas.words.map((column) => name(column.values[erna])));
      ernasTable.setRows(clearest().filter((erna) => meets(loci.ernas, erna) || words(erna) < Infinity));
      return;
    }
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
    if (hasErnas) ernasTable.setColumns(ernaColumns());
    searched();
    if (state.erna !== null) figure.restyle({ sample: state.sample, score: state.score });
    if (state.gene !== null) {
      if (hasLinks) ownTable.setRows(loci.linksOf(state.gene, state.sample));
      figure.restyle({ sample: state.sample, score: state.score });
    }
  }

  function chosen(gene, erna) {
    Object.assign(state, { gene, erna });
    genesTable.current = (row) => row === gene;
    genesTable.mark();
    if (!hasErnas) return;
    ernasTable.current = (row) => row === erna;
    ernasTable.mark();
  }

  function chooseErna(erna) {
    chosen(null, erna);
    const { ernas } = loci;
    byId("locus-title").textContent = loci.ernaName(erna);
    const values = ernas.columns.map((column) => `${withUnit(column.name, column.unit)}: ${written(column.values[state.sample][erna])}`);
    const words = ernas.words.filter((column) => column.values[erna]).map((column) => `${column.name}: ${column.values[erna]}`);
    const absent = loci.profile(erna, state.sample) || !ernas.coverage
      ? "" : ` Its coverage is not on the page, which holds that of the ${whole(ernas.coverage.kept)} clearest loci.`;
    byId("locus-about").textContent = `${whole(ernas.end[erna] - ernas.start[erna])} bp. ${[...values, ...words].join("; ")}.${absent}`;
    if (hasLinks) byId("locus-links").hidden = true;
    figure.show({ gene: null, erna, sample: state.sample, score: state.score });
  }

  function choose(gene) {
    chosen(gene, null);
    if (hasLinks) byId("locus-links").hidden = false;
    const { genes } = loci;
    byId("locus-title").textContent = loci.geneTitle(gene);
    const strand = { "+": ", forward strand", "-": ", reverse strand", ".": "" }[genes.strand[gene]];
    byId("locus-about").textContent = `${loci.chromosomes[genes.chromosome[gene]]}:${whole(genes.viewStart[gene])}–${whole(genes.viewEnd[gene])}, TSS at ${whole(genes.tss[gene])}${strand}. ${told(gene)}`;
    if (hasLinks) ownTable.setRows(loci.linksOf(gene, state.sample));
    figure.show({ gene, erna: null, sample: state.sample, score: state.score });
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
    if (state.erna !== null) chooseErna(state.erna);
  });
  offered("score", hasLinks ? loci.links.scores.map((score) => score.name) : [], (score) => {
    state.score = score;
    relabelled();
  });
  byId("search").addEventListener("input", searched);
  for (const radio of document.querySelectorAll("input[name=what]")) {
    radio.addEventListener("change", () => {
      for (const what of ["genes", "links", "ernas"]) {
        const table = byId(`${what}-table`);
        if (table) table.hidden = radio.value !== what;
      }
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
  if (hasGenes) choose(loci.listed.reduce((best, gene) => (linked(gene) > linked(best) ? gene : best), loci.listed[0]));
  else chooseErna(clearest()[0] ?? 0);
  opened();
}

unpacked("data").then((content) => started(new Loci(content))).catch((error) => {
  byId("trouble").textContent = `The tables cannot be shown (${error.message}). They need a browser of 2023 or later.`;
  byId("trouble").hidden = false;
  throw error;
});
