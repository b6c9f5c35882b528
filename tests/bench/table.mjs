// table.mjs - Markdown of one run's medians.

const ENGINES = [["native", "Nacre, C"], ["nacre", "Nacre, WASM"], ["lmdb", "LMDB"], ["level", "LevelDB"], ["sqlite", "SQLite"]];

function short(number) {
  if (number >= 1e6) return `${(number / 1e6).toFixed(2)} M`;
  if (number >= 1e4) return `${(number / 1e3).toFixed(0)} K`;
  if (number >= 1e3) return `${(number / 1e3).toFixed(1)} K`;
  return number >= 10 ? number.toFixed(0) : number.toFixed(2);
}

function table(head, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? "---" : "---:"))), ...rows.map(line)].join("\n");
}

const rate = (of) => of && `${short(of.perSecond)} (${short(of.perCpuSecond)})`;

function keyValue(kv) {
  const row = (name, cell) => [name, ...ENGINES.map(([engine]) => cell(kv[engine]) ?? "–")];
  return table(["", ...ENGINES.map(([, name]) => name)], [
    row("durable put, p50 µs (a plain append and `fdatasync` then)", (of) => `${short(of.durable.p50us)} (${short(of.syncFloor.p50us)})`),
    row("durable puts, 1 000 un-awaited in a tick", (of) => rate(of.durableGroup)),
    row("random puts, 1 000 per transaction", (of) => rate(of.putRandom)),
    row("sequential puts, 1 000 per transaction", (of) => rate(of.putSequential)),
    row("random gets, warm", (of) => rate(of.get)),
    row("... after compaction", (of) => rate(of.getCompacted)),
    row("getMany of 100, warm", (of) => rate(of.getMany)),
    row("ordered scan of all, rows", (of) => rate(of.scan)),
    row("scans of 100, rows", (of) => rate(of.scan100)),
    row("bytes written per byte put, random", (of) => of.putRandom.bytesPerByte?.toFixed(1) ?? of.stats?.writeAmplification.toFixed(1)),
    row("files after compaction / live data", (of) => (of.fileBytes / kv.nacre.liveBytes).toFixed(2)),
    row("open, and first get, ms", (of) => of.openAndGetMs.toFixed(1)),
  ]);
}

function vectors(runs) {
  const rows = [];
  for (const { rows: count, dimensions, native, wasm } of runs) {
    for (const metric of ["l2", "ip", "cosine"]) {
      const plain = native[metric].read, c = native[metric].search, js = wasm[metric].search;
      rows.push([
        `${count / 1000} K × ${dimensions}, ${(count * dimensions * 4 / 2 ** 20).toFixed(0)} MiB, ${metric}`,
        short(plain.cpuUs), `${short(c.cpuUs)} (${short(c.cpuUs * 1e3 / count)})`, `${(100 * plain.cpuUs / c.cpuUs).toFixed(0)} %`,
        `${short(js.cpuUs)} (${short(js.cpuUs * 1e3 / count)})`, `${(js.cpuUs / c.cpuUs).toFixed(2)} ×`,
      ]);
    }
  }
  return table(["exact search, k = 10", "plain read, µs", "C, µs (ns per vector)", "of the read's speed", "WASM, µs (ns per vector)", "of C's time"], rows);
}

/** What this stage of Nacre wants to reach. */
function targets({ kv, vectors: runs }) {
  const met = [];
  const add = (what, value, ok) => met.push([what, value, ok ? "met" : "**missed**"]);
  if (runs) {
    const all = runs.flatMap(({ rows, dimensions, native, wasm }) => ["l2", "ip", "cosine"].map((metric) => ({
      what: `${rows / 1000} K × ${dimensions} ${metric}`, cached: rows * dimensions * 4 < 2 ** 24,
      share: native[metric].read.cpuUs / native[metric].search.cpuUs, times: wasm[metric].search.cpuUs / native[metric].search.cpuUs,
    })));
    const memory = all.filter(({ cached }) => !cached), cache = all.filter(({ cached }) => cached);
    const least = memory.sort((a, b) => a.share - b.share)[0], most = cache.sort((a, b) => b.times - a.times)[0];
    if (least) add("C search in memory ≥ 70 % of a plain read", `${(100 * least.share).toFixed(0)} % (least: ${least.what})`, least.share >= 0.7);
    if (most) add("WASM search in cache ≤ 1.6 × C's time", `${most.times.toFixed(2)} × (most: ${most.what})`, most.times <= 1.6);
  }
  if (kv) {
    const ratio = (name, peer, figure) => kv.nacre[name][figure] / kv[peer][name][figure];
    const both = (name, peer) => [ratio(name, peer, "perSecond"), ratio(name, peer, "perCpuSecond")];
    for (const [what, name, peer, least] of [
      ["random puts through JavaScript ≥ LevelDB's", "putRandom", "level", 1],
      ["warm gets through JavaScript ≥ half of LMDB's", "get", "lmdb", 0.5],
    ]) {
      const [wall, cpu] = both(name, peer);
      add(what, `${wall.toFixed(2)} × (CPU ${cpu.toFixed(2)} ×)`, wall >= least);
    }
  }
  return table(["target", "measured", ""], met);
}

export function markdown(run) {
  const { machine, settings, kv, vectors: runs, sizes } = run;
  const versions = Object.entries(machine.peers).map(([name, version]) => `${name} ${version}`).join(", ");
  return [
    `Measured ${machine.date.slice(0, 10)} on ${machine.cpu} (${machine.cores} cores, L3 ${machine.cache}; load ${machine.load.join(" and ")} before and after), ` +
    `Linux ${machine.kernel}, ${machine.files}; Node ${machine.node}, ${machine.compiler}; ${versions}. Commit ${machine.commit}. ` +
    `Medians of ${settings.rounds} round${settings.rounds === 1 ? "" : "s"}, ` +
    `the engines in turn, one thread. ${settings.quick ? "**Quick mode.** " : ""}`,
    kv && `**Key-value**: ${short(settings.rows)} rows, random 16-byte keys, 100-byte values; every answer checked. ` +
    "Per second of wall clock and, in brackets, of CPU time. No sync per transaction but where it says durable.",
    kv && keyValue(kv),
    runs && "**Vectors**: CPU time per query; the rows are in the database's cache, the read is of as many bytes.",
    runs && vectors(runs),
    sizes && `**Size**: nacre.wasm ${(sizes.wasm.brotli / 1024).toFixed(0)} KiB after brotli (scalar ${(sizes.scalar.brotli / 1024).toFixed(0)} KiB), ` +
    `the package ${(sizes.packed / 1024).toFixed(0)} KiB packed, ${(sizes.unpacked / 1024).toFixed(0)} KiB unpacked.`,
    targets(run),
  ].filter(Boolean).join("\n\n") + "\n";
}
