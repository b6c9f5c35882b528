// search-plot.mjs - recall against latency as an SVG: a panel for each set, a line for each engine; both axes are logarithmic.

const WIDTH = 380, HEIGHT = 260, LEFT = 46, TOP = 30, BOTTOM = 40, RIGHT = 24, COLUMNS = 2, LEAST = 0.7;

/** What cannot be beaten by another setting of the same engine: nothing is faster at as much recall. */
function front(curve) {
  const points = curve.filter(({ recall }) => recall >= LEAST).sort((a, b) => a.p50 - b.p50);
  return points.filter((point, i) => points.slice(0, i).every((faster) => faster.recall < point.recall));
}

const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const time = (us) => (us >= 1000 ? `${us / 1000} ms` : `${us} µs`);

function panel(set, engines, low, high) {
  const width = WIDTH - LEFT - RIGHT, height = HEIGHT - TOP - BOTTOM;
  const x = (us) => (LEFT + width * Math.log10(us / low) / Math.log10(high / low)).toFixed(1);
  const missed = (recall) => Math.log10(1.001 - recall); // what matters is between .9 and 1
  const y = (recall) => (TOP + height * (missed(recall) - missed(1)) / (missed(LEAST) - missed(1))).toFixed(1);
  const parts = [`<text x="${LEFT}" y="18" font-weight="bold">${escape(`${set.name}, ${set.rows} × ${set.dimensions}, ${set.metric}`)}</text>`];
  for (let us = low; us <= high; us *= 10) {
    parts.push(`<path class="grid" d="M${x(us)} ${TOP}V${TOP + height}"/><text x="${x(us)}" y="${TOP + height + 15}" text-anchor="middle">${time(us)}</text>`);
  }
  for (const recall of [0.7, 0.8, 0.9, 0.95, 0.99, 1]) {
    parts.push(`<path class="grid" d="M${LEFT} ${y(recall)}H${LEFT + width}"/><text x="${LEFT - 5}" y="${Number(y(recall)) + 4}" text-anchor="end">${recall}</text>`);
  }
  parts.push(`<text x="${LEFT + width / 2}" y="${HEIGHT - 8}" text-anchor="middle">p50 of a search; recall@10 upwards</text>`);
  for (const [name, { colour }] of Object.entries(engines)) {
    const points = front(set.engines[name]?.curve ?? []);
    if (points.length === 0) continue;
    parts.push(`<polyline fill="none" stroke="${colour}" stroke-width="1.6" points="${points.map((p) => `${x(p.p50)},${y(p.recall)}`).join(" ")}"/>`);
    for (const p of points) parts.push(`<circle cx="${x(p.p50)}" cy="${y(p.recall)}" r="2.5" fill="${colour}"/>`);
  }
  return parts.join("\n");
}

/** `sets`: with the curves of their engines. `engines`: { label, colour } by name, in the order of the legend. */
export function plot(sets, engines) {
  const measured = sets.flatMap((set) => Object.values(set.engines)).flatMap(({ curve = [] }) => front(curve)).map(({ p50 }) => p50);
  const low = 10 ** Math.floor(Math.log10(Math.min(...measured))), high = Math.max(10 * low, 10 ** Math.ceil(Math.log10(Math.max(...measured))));
  const lines = Math.ceil(sets.length / COLUMNS), height = lines * HEIGHT + 56, step = COLUMNS * WIDTH / 4;
  const legend = Object.values(engines).map(({ label, colour }, i) => {
    const x = LEFT + (i % 4) * step, y = height - 34 + 18 * Math.floor(i / 4);
    return `<rect x="${x}" y="${y - 6}" width="12" height="4" fill="${colour}"/><text x="${x + 16}" y="${y}">${escape(label)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${COLUMNS * WIDTH} ${height}" font-family="sans-serif" font-size="11">
<style>.grid { stroke: #ddd; fill: none }</style>
<rect width="100%" height="100%" fill="#fff"/>
${sets.map((set, i) => `<g transform="translate(${(i % COLUMNS) * WIDTH} ${Math.floor(i / COLUMNS) * HEIGHT})">\n${panel(set, engines, low, high)}\n</g>`).join("\n")}
${legend.join("\n")}
</svg>
`;
}
