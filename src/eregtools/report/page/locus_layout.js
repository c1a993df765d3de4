// Where the parts of a locus are drawn; nothing is drawn here.

const HEIGHT = { label: 15, arcs: 104, coverage: 70, track: 32, boxes: 12, lane: 19, axis: 30, gap: 9 };
const MOST_LANES = 6;
const FONT = "11px system-ui, sans-serif";

const ruler = document.createElement("canvas").getContext("2d");

function textWidth(text) {
  ruler.font = FONT;
  return ruler.measureText(text).width;
}

// Round positions of an axis, their labels, and the unit.
function genomicTicks(start, end, most) {
  const rough = (end - start) / Math.max(most, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const [unit, size] = end >= 1e6 && step >= 1000 ? ["Mb", 1e6] : ["kb", 1e3];
  const digits = Math.max(0, Math.ceil(-Math.log10(step / size) - 1e-9));
  const ticks = [];
  for (let at = Math.ceil(start / step) * step; at <= end; at += step) {
    const text = (at / size).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    ticks.push({ at, text });
  }
  return { ticks, unit };
}

// Lane of each gene such that bodies and names do not meet; those that find no lane stay without a name.
function geneLanes(genes, x, width) {
  const lanes = [];
  return genes.map(({ number, start, end, name, own }) => {
    const [left, right] = [Math.max(x(start), 0), Math.min(Math.max(x(end), x(start) + 2), width)];
    const length = textWidth(name) * (own ? 1.1 : 1);
    const after = right + 10 + length <= width;
    const before = left - 10 - length >= 0;
    const place = after ? right + 8 : before ? left - 8 - length : Math.max(0, Math.min(left, width - length));
    const extent = [Math.min(left, place) - 6, Math.max(right, place + length) + 6];
    const free = lanes.findIndex((taken) => taken.every(([from, to]) => to <= extent[0] || from >= extent[1]));
    const lane = free >= 0 ? free : lanes.length;
    if (lane >= MOST_LANES) return { number, left, right, lane: MOST_LANES - 1, name: null, own };
    (lanes[lane] ??= []).push(extent);
    return { number, left, right, lane, name, place, inside: !after && !before, own };
  });
}

// Range of the values of a track; holds zero.
function scaleOf(values) {
  const known = values.filter((value) => value !== null);
  const low = Math.min(0, ...known);
  const high = Math.max(0, ...known);
  return high > low ? { low, high } : { low: 0, high: 1 };
}
