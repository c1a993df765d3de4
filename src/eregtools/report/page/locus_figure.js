// The figure of a locus: arcs, signal, enhancers and genes over one axis.

class LocusFigure {
  constructor(loci, root, { onGene, onErna, onActive }) {
    this.loci = loci;
    this.root = root;
    this.tip = root.querySelector("#tip");
    this.onGene = onGene;
    this.onErna = onErna;
    this.onActive = onActive;
    this.active = null;
    this.pinned = false;
    this.width = 0;
    new ResizeObserver(() => {
      if (this.state && root.clientWidth !== this.width) this.draw();
    }).observe(root);
    drawing.addEventListener("keydown", (event) => this.walk(event));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.release();
    });
    drawing.addEventListener("click", (event) => {
      if (!event.target.closest("[data-link]")) this.release();
    });
  }

  show(state) {
    this.state = state;
    this.view = this.whole();
    this.active = null;
    this.pinned = false;
    this.draw();
  }

  restyle(changes) {
    Object.assign(this.state, changes);
    this.active = null;
    this.pinned = false;
    this.draw();
  }

  // The gene or the locus of enhancer RNA that the figure is of, and its number.
  shown() {
    const { gene, erna } = this.state;
    return gene === null ? [this.loci.ernas, erna] : [this.loci.genes, gene];
  }

  whole() {
    const [elements, number] = this.shown();
    return { start: elements.viewStart[number], end: elements.viewEnd[number] };
  }

  zoom(factor, shift = 0) {
    const limit = this.whole();
    const length = this.view.end - this.view.start;
    const size = Math.round(Math.min(Math.max(length * factor, 2000), limit.end - limit.start));
    const centre = (this.view.start + this.view.end) / 2 + shift * length;
    const start = Math.round(Math.min(Math.max(centre - size / 2, limit.start), limit.end - size));
    this.view = { start, end: start + size };
    this.draw();
  }

  draw() {
    const { loci, state, view } = this;
    this.width = this.root.clientWidth;
    const width = this.width;
    this.x = (position) => ((position - view.start) / (view.end - view.start)) * width;
    const [elements, number] = this.shown();
    this.chromosome = elements.chromosome[number];
    const { chromosome } = this;
    this.links = loci.links && state.gene !== null ? loci.linksOf(state.gene, state.sample) : [];
    this.linked = new Map(this.links.map((link) => [loci.links.enhancer[link], link]));
    this.enhancers = loci.enhancers ? loci.inView(loci.enhancers, chromosome, view.start, view.end) : [];
    this.tops = { hits: 0 };
    const layers = [];
    let y = 0;
    for (const part of [this.arcs, this.coverage, ...this.tracks(), this.boxes, this.calls, this.geneRows, this.axis]) {
      const [nodes, height] = part.call(this, y);
      layers.push(...nodes);
      y += height;
    }
    const lines = [];
    if (state.gene !== null) {
      const tss = this.x(loci.genes.tss[state.gene]);
      lines.push(shape("line", { class: "tss-line", x1: tss, x2: tss, y1: HEIGHT.label, y2: this.tops.genes }));
    }
    drawing.replaceChildren(...lines, ...layers, ...this.hits());
    drawing.setAttribute("viewBox", `0 0 ${width} ${y}`);
    drawing.setAttribute("height", y);
    drawing.setAttribute("aria-label", `Locus of ${state.gene === null ? loci.ernaName(number) : loci.geneTitle(number)}`);
    this.mark();
  }

  scoreValues() {
    const { links } = this.loci;
    return links && links.scores.length ? links.scores[this.state.score].values[this.state.sample] : null;
  }

  arcs(top) {
    const values = this.state.gene === null ? null : this.scoreValues();
    if (!values) {
      document.getElementById("ramp").hidden = true;
      return [[], 4];
    }
    const score = this.loci.links.scores[this.state.score];
    const nodes = [label(withUnit(score.name, score.unit), 0, top + 11, { class: "strong" })];
    const base = top + HEIGHT.label + HEIGHT.arcs;
    const known = this.links.filter((link) => values[link] !== null);
    known.sort((a, b) => Math.abs(values[a]) - Math.abs(values[b]));
    const most = Math.max(...known.map((link) => Math.abs(values[link])), 0) || 1;
    const tss = this.x(this.loci.genes.tss[this.state.gene]);
    const spans = known.map((link) => Math.abs(this.centre(link) - tss));
    const widest = Math.max(...spans, 1);
    for (const [at, link] of known.entries()) {
      const part = Math.abs(values[link]) / most;
      const rise = (HEIGHT.arcs - 6) * (4 / 3) * (0.25 + 0.75 * Math.sqrt(spans[at] / widest));
      const from = this.centre(link);
      const path = `M${from},${base}C${from},${base - rise} ${tss},${base - rise} ${tss},${base}`;
      const hue = values[link] < 0 ? "--down" : this.signed(values) ? "--up" : "--accent";
      nodes.push(shape("path", {
        class: values[link] < 0 ? "arc below" : "arc", d: path, "data-link": link, "stroke-width": 1 + 3.5 * part,
        style: `stroke: color-mix(in oklab, var(${hue}) ${Math.round(100 * part)}%, var(--pale))`,
      }));
    }
    if (!known.length) {
      document.getElementById("ramp").hidden = true;
      nodes.push(label("not known for the links of this gene", 0, top + 28));
      return [nodes, HEIGHT.label + 26];
    }
    nodes.push(shape("line", { class: "rule", x1: 0, x2: this.width, y1: base, y2: base }));
    for (const path of nodes.filter((node) => node.dataset.link)) {
      path.addEventListener("pointerenter", () => this.point(Number(path.dataset.link)));
      path.addEventListener("pointerleave", () => this.leave());
      path.addEventListener("click", () => this.activate(Number(path.dataset.link)));
    }
    this.ramp(values, most);
    this.tops.hits = base;
    return [nodes, HEIGHT.label + HEIGHT.arcs + HEIGHT.gap];
  }

  // Coverage of RNA around the locus: plus above the line, minus below it; both together where strands are not known.
  coverage(top) {
    const { erna, sample } = this.state;
    const profile = erna === null ? null : this.loci.profile(erna, sample);
    if (!profile) return [[], 0];
    const [plus, minus = []] = profile.strands;
    const high = Math.max(...plus, 0);
    const low = -Math.max(...minus, 0);
    const size = high - low || 1;
    const y = (value) => top + HEIGHT.label + (HEIGHT.coverage * (high - value)) / size;
    const outline = (values) => values.map((value, number) => {
      const [from, to] = [number, number + 1].map((at) => this.x(profile.start + at * profile.step));
      return `${number ? "L" : "M"}${from},${y(value)}L${to},${y(value)}`;
    }).join("");
    const [first, last] = [this.x(profile.start), this.x(profile.start + plus.length * profile.step)];
    const area = (values, look) => shape("path", { class: look, d: `${outline(values)}L${last},${y(0)}L${first},${y(0)}Z` });
    const range = minus.length ? `${written(-low)} below to ${written(high)} above` : `0 to ${written(high)}`;
    const name = minus.length ? "RNA, plus above, minus below (reads per million)" : "RNA, both strands (reads per million)";
    const nodes = [
      label(this.width < 480 ? "RNA (reads per million)" : name, 0, top + 11, { class: "strong" }),
      label(range, this.width, top + 11, { "text-anchor": "end" }),
      area(plus, "coverage"),
      ...(minus.length ? [area(minus.map((value) => -value), "coverage minus")] : []),
      shape("line", { class: "rule", x1: 0, x2: this.width, y1: y(0), y2: y(0) }),
    ];
    return [nodes, HEIGHT.label + HEIGHT.coverage + HEIGHT.gap];
  }

  signed(values) {
    return this.links.some((link) => values[link] !== null && values[link] < 0);
  }

  ramp(values, most) {
    const ramp = document.getElementById("ramp");
    const signed = this.signed(values);
    const colors = signed ? "var(--down), var(--pale), var(--up)" : "var(--pale), var(--accent)";
    const bar = el("i", { style: `background: linear-gradient(90deg, ${colors})` });
    ramp.replaceChildren(written(signed ? -most : 0), bar, written(most));
    ramp.hidden = false;
  }

  centre(link) {
    const enhancer = this.loci.links.enhancer[link];
    return this.x((this.loci.enhancers.start[enhancer] + this.loci.enhancers.end[enhancer]) / 2);
  }

  extent(enhancer, least) {
    const [left, right] = [this.x(this.loci.enhancers.start[enhancer]), this.x(this.loci.enhancers.end[enhancer])];
    const width = Math.max(right - left, least);
    return { x: (left + right - width) / 2, width };
  }

  tracks() {
    const { enhancers } = this.loci;
    return enhancers ? enhancers.tracks.map((track) => (top) => this.track(track, top)) : [];
  }

  track(track, top) {
    const values = track.values[this.state.sample];
    const { low, high } = scaleOf(this.enhancers.map((enhancer) => values[enhancer]));
    const y = (value) => top + HEIGHT.label + (HEIGHT.track * (high - value)) / (high - low);
    const nodes = [
      label(withUnit(track.name, track.unit), 0, top + 11, { class: "strong" }),
      label(`${written(low)} to ${written(high)}`, this.width, top + 11, { "text-anchor": "end" }),
      shape("line", { class: "rule", x1: 0, x2: this.width, y1: y(0), y2: y(0) }),
    ];
    const linkedLast = [...this.enhancers].sort((a, b) => this.linked.has(a) - this.linked.has(b));
    for (const enhancer of linkedLast) {
      const value = values[enhancer];
      if (value === null || value === 0) continue;
      const look = this.linked.has(enhancer) ? "bar linked" : "bar";
      const [above, below] = [y(Math.max(value, 0)), y(Math.min(value, 0))];
      nodes.push(shape("rect", { class: look, ...this.extent(enhancer, 2), y: above, height: below - above }));
    }
    this.tops.hits ||= top + HEIGHT.label;
    return [nodes, HEIGHT.label + HEIGHT.track + HEIGHT.gap];
  }

  boxes(top) {
    if (!this.loci.enhancers) return [[], 0];
    const own = this.loci.enhancers.candidate[this.state.sample];
    const y = top + HEIGHT.label;
    const nodes = [label("enhancers", 0, top + 11, { class: "strong" })];
    for (const enhancer of this.enhancers) {
      const look = this.linked.has(enhancer) ? "box linked" : own[enhancer] === "1" ? "box" : "box stranger";
      const title = shape("title", {}, this.loci.enhancerName(enhancer));
      nodes.push(shape("rect", { class: look, ...this.extent(enhancer, 3), y, height: HEIGHT.boxes }, title));
    }
    this.tops.hits ||= y;
    this.tops.boxes = y + HEIGHT.boxes;
    return [nodes, HEIGHT.label + HEIGHT.boxes + HEIGHT.gap];
  }

  // Loci of enhancer RNA: filled where the biosample has them, and outlined the one that is shown.
  calls(top) {
    const { loci, view, state } = this;
    if (!loci.ernas) return [[], 0];
    const y = top + HEIGHT.label;
    const nodes = [label("enhancer RNA", 0, top + 11, { class: "strong" })];
    const q = loci.ernaColumn("qvalue")?.values[state.sample];
    for (const erna of loci.inView(loci.ernas, this.chromosome, view.start, view.end)) {
      const own = erna === state.erna;
      const said = `${loci.ernaName(erna)}${q && q[erna] !== null ? `, q ${written(q[erna])}` : ""}`;
      const look = `call${loci.ernas.own[state.sample][erna] === "1" ? "" : " stranger"}${own ? " own" : ""}`;
      const [left, right] = [this.x(loci.ernas.start[erna]), this.x(loci.ernas.end[erna])];
      const width = Math.max(right - left, 4);
      const box = shape("rect", { class: look, x: (left + right - width) / 2, width, y, height: HEIGHT.boxes }, shape("title", {}, said));
      if (!own) {
        fill(box, { tabindex: 0, role: "link", "aria-label": `Show ${said}` }, []);
        box.addEventListener("click", () => this.onErna(erna));
        box.addEventListener("keydown", (event) => {
          if (event.key === "Enter") this.onErna(erna);
        });
      }
      nodes.push(box);
    }
    return [nodes, HEIGHT.label + HEIGHT.boxes + HEIGHT.gap];
  }

  geneRows(top) {
    const { genes } = this.loci;
    const { view, state } = this;
    const near = this.loci.inView(genes, this.chromosome, view.start, view.end);
    const parts = near.map((number) => ({
      number, start: Math.min(genes.start[number], genes.tss[number]), end: Math.max(genes.end[number], genes.tss[number] + 1),
      name: genes.name[number], own: number === state.gene,
    }));
    parts.sort((a, b) => b.own - a.own || a.start - b.start);
    const placed = geneLanes(parts, this.x, this.width);
    const lanes = Math.max(0, ...placed.map((gene) => gene.lane)) + 1;
    const nodes = placed.map((gene) => this.gene(gene, top + 4 + gene.lane * HEIGHT.lane));
    this.tops.genes = top + 12;
    return [nodes, lanes * HEIGHT.lane + 8];
  }

  gene({ number, left, right, lane, name, place, inside, own }, top) {
    const { genes } = this.loci;
    const y = top + 8;
    const tss = this.x(genes.tss[number]);
    const look = own ? "own " : "";
    const nodes = [shape("line", { class: `${look}body`, x1: left, x2: right, y1: y, y2: y })];
    if (tss >= 0 && tss <= this.width && genes.strand[number] !== ".") {
      const to = tss + (genes.strand[number] === "-" ? -7 : 7);
      const back = (tss + to) / 2;
      nodes.push(shape("path", { class: `${look}tss`, d: `M${tss},${y}V${y - 7}H${to}M${back},${y - 10}L${to},${y - 7}L${back},${y - 4}` }));
    }
    if (name !== null) nodes.push(label(name, place, inside ? y + 11 : y + 4, { class: own ? "own" : "strong" }));
    const said = this.loci.geneTitle(number);
    if (own || !genes.listed[number]) return shape("g", {}, shape("title", {}, said), ...nodes);
    const group = shape("g", { class: "gene", tabindex: 0, role: "link", "aria-label": `Show ${said}` }, shape("title", {}, said), ...nodes);
    group.addEventListener("click", () => this.onGene(number));
    group.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.onGene(number);
    });
    return group;
  }

  axis(top) {
    const { view } = this;
    const { ticks, unit } = genomicTicks(view.start, view.end, Math.floor(this.width / 110));
    const name = this.loci.chromosomes[this.chromosome];
    const nodes = [shape("line", { class: "axis", x1: 0, x2: this.width, y1: top, y2: top })];
    const said = `${name} (${unit})`;
    const free = this.width - textWidth(said) - 8;
    for (const { at, text } of ticks) {
      const x = this.x(at);
      const half = textWidth(text) / 2;
      nodes.push(shape("line", { class: "axis", x1: x, x2: x, y1: top, y2: top + 4 }));
      if (x - half >= 0 && x + half <= free) nodes.push(label(text, x, top + 16, { "text-anchor": "middle" }));
    }
    nodes.push(label(said, this.width, top + 16, { "text-anchor": "end", class: "strong" }));
    return [nodes, HEIGHT.axis];
  }

  // Places that answer to a pointer and to keys: one a linked enhancer, from left to right.
  hits() {
    if (!this.tops.boxes) return [];
    this.order = this.enhancers.filter((enhancer) => this.linked.has(enhancer));
    this.order.sort((a, b) => this.loci.enhancers.start[a] - this.loci.enhancers.start[b]);
    this.order = this.order.map((enhancer) => this.linked.get(enhancer));
    return this.order.map((link, at) => {
      const size = this.extent(this.loci.links.enhancer[link], 9);
      const node = shape("rect", {
        class: "hit", ...size, y: this.tops.hits, height: this.tops.boxes + 3 - this.tops.hits, "data-link": link,
        tabindex: at === 0 ? 0 : -1, role: "button", "aria-label": this.told(link).join(", "),
      });
      node.addEventListener("pointerenter", () => this.point(link));
      node.addEventListener("pointerleave", () => this.leave());
      node.addEventListener("focus", () => this.point(link, true));
      node.addEventListener("blur", () => this.release());
      node.addEventListener("click", () => this.activate(link));
      return node;
    });
  }

  walk(event) {
    const at = this.order?.indexOf(Number(event.target.dataset?.link)) ?? -1;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: this.order?.length - 1 }[event.key];
    if (at < 0 || this.order[to] === undefined) return;
    event.preventDefault();
    this.hitOf(this.order[to]).focus();
  }

  hitOf(link) {
    return drawing.querySelector(`.hit[data-link="${link}"]`);
  }

  point(link, pinned = false) {
    if (this.pinned && !pinned) return;
    this.activate(link, pinned);
  }

  leave() {
    if (!this.pinned) this.release();
  }

  release() {
    this.active = null;
    this.pinned = false;
    this.mark();
    this.onActive(null);
  }

  activate(link, pinned = true) {
    this.active = link;
    this.pinned = pinned;
    if (!this.hitOf(link)) {
      this.view = this.whole();
      this.draw();
    }
    this.mark();
    this.onActive(link);
  }

  mark() {
    for (const node of drawing.querySelectorAll("[data-link]")) {
      const own = Number(node.dataset.link) === this.active;
      if (node.classList.contains("hit")) {
        node.classList.toggle("active", own);
        if (this.active !== null) node.setAttribute("tabindex", own ? 0 : -1);
      } else node.classList.toggle("faded", this.active !== null && !own);
    }
    this.tip.hidden = this.active === null || !this.hitOf(this.active);
    if (this.tip.hidden) return;
    const [name, ...lines] = this.told(this.active);
    this.tip.replaceChildren(el("strong", {}, name), ...lines.map((line) => el("span", {}, line)));
    const left = this.centre(this.active) - this.tip.offsetWidth / 2;
    this.tip.style.left = `${Math.max(0, Math.min(left, this.width - this.tip.offsetWidth))}px`;
    this.tip.style.top = `${this.tops.boxes + 8}px`;
  }

  // Lines that say all that is known of a link and its enhancer.
  told(link) {
    const { loci, state } = this;
    const { enhancers, links } = loci;
    const enhancer = links.enhancer[link];
    const distance = loci.distance(link);
    const side = distance < 0 ? "upstream" : "downstream";
    return [
      loci.enhancerName(enhancer),
      ...(enhancers.class ? [enhancers.class[enhancer]] : []),
      `${whole(Math.abs(distance))} bp ${side} of the TSS`,
      ...links.scores.map((score) => `${withUnit(score.name, score.unit)}: ${written(score.values[state.sample][link])}`),
      ...enhancers.tracks.map((track) => `${withUnit(track.name, track.unit)}: ${written(track.values[state.sample][enhancer])}`),
    ];
  }
}
