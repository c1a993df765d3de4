// Elements of the page, numbers as they are written, and the data as they are stored.

const drawing = document.getElementById("drawing");

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

const el = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);

const shape = (name, attributes = {}, ...children) =>
  fill(document.createElementNS(drawing.namespaceURI, name), attributes, children);

const label = (text, x, y, attributes = {}) => shape("text", { x, y, ...attributes }, text);

const UNKNOWN = "–";

function written(value) {
  if (value === null || value === undefined) return UNKNOWN;
  const size = Math.abs(value);
  let text;
  if (size >= 1000) text = Math.round(value).toLocaleString("en-US");
  else if (size !== 0 && size < 0.001) text = value.toExponential(1);
  else text = String(Number(value.toPrecision(3)));
  return text.replace("-", "\u2212");
}

const whole = (value) => Math.round(value).toLocaleString("en-US").replace("-", "\u2212");

const withUnit = (name, unit) => (unit ? `${name} (${unit})` : name);

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// Genes, enhancers and links by number. Links are sorted by gene.
class Loci {
  constructor(content) {
    Object.assign(this, content);
    this.listed = this.genes.listed.flatMap((own, gene) => (own ? [gene] : []));
    this.byId = new Map(this.genes.id.map((id, gene) => [id, gene]));
    this.ernaByName = new Map((this.ernas ? this.ernas.start : []).map((_, erna) => [this.ernaName(erna), erna]));
    this.first = new Array(this.genes.id.length + 1).fill(0);
    for (const gene of this.links ? this.links.gene : []) this.first[gene + 1] += 1;
    for (let gene = 0; gene < this.genes.id.length; gene += 1) this.first[gene + 1] += this.first[gene];
  }

  linksOf(gene, sample) {
    const found = [];
    for (let link = this.first[gene]; link < this.first[gene + 1]; link += 1) {
      if (this.links.own[sample][link] === "1") found.push(link);
    }
    return found;
  }

  ownLinks(sample) {
    return this.links.gene.flatMap((_, link) => (this.links.own[sample][link] === "1" ? [link] : []));
  }

  place(elements, number) {
    return `${this.chromosomes[elements.chromosome[number]]}:${elements.start[number]}-${elements.end[number]}`;
  }

  enhancerName(number) {
    return this.enhancers.name[number] ?? this.place(this.enhancers, number);
  }

  ernaName(number) {
    return this.ernas.name[number] ?? `eRNA:${this.place(this.ernas, number)}`;
  }

  ownErnas(sample) {
    return this.ernas.start.flatMap((_, erna) => (this.ernas.own[sample][erna] === "1" ? [erna] : []));
  }

  ernaColumn(key) {
    return this.ernas.columns.find((column) => column.key === key);
  }

  // Coverage around a locus by strand, where the page holds it.
  profile(erna, sample) {
    const strands = this.ernas.coverage?.profiles[sample][erna];
    return strands ? { start: this.ernas.viewStart[erna], step: this.ernas.coverage.step, strands } : null;
  }

  geneTitle(gene) {
    const { id, name } = this.genes;
    return name[gene] === id[gene] ? id[gene] : `${name[gene]} (${id[gene]})`;
  }

  distance(link) {
    const enhancer = this.links.enhancer[link];
    const gene = this.links.gene[link];
    const middle = (this.enhancers.start[enhancer] + this.enhancers.end[enhancer]) / 2;
    return (middle - this.genes.tss[gene]) * (this.genes.strand[gene] === "-" ? -1 : 1);
  }

  inView(elements, chromosome, start, end) {
    const found = [];
    for (let number = 0; number < elements.start.length; number += 1) {
      const on = elements.chromosome[number] === chromosome;
      if (on && elements.start[number] < end && elements.end[number] > start) found.push(number);
    }
    return found;
  }
}

// What is searched: a region, or part of a name; of names how close they are: 0 the same, 1 its beginning, 2 within.
function query(text, chromosomes) {
  const cleaned = text.trim();
  const region = /^(\S+):([\d,]+)-([\d,]+)$/.exec(cleaned);
  const bare = (name) => name.replace(/^chr/i, "").toLowerCase();
  const chromosome = region ? chromosomes.findIndex((name) => bare(name) === bare(region[1])) : -1;
  if (region) {
    const [start, end] = [2, 3].map((part) => Number(region[part].replaceAll(",", "")));
    return {
      name: (name) => (name === cleaned ? 0 : Infinity),
      meets: (elements, number) =>
        elements.chromosome[number] === chromosome && elements.start[number] < end && elements.end[number] > start,
    };
  }
  const lower = cleaned.toLowerCase();
  const near = (name) => (name === lower ? 0 : name.startsWith(lower) ? 1 : name.includes(lower) ? 2 : Infinity);
  return { name: (name) => near(name.toLowerCase()), meets: () => false };
}
