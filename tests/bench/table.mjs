// table.mjs - Markdown of one run's medians.

const ENGINES = [["native", "Nacre, C"], ["nacre", "Nacre, WASM"], ["lmdb", "LMDB"], ["level", "LevelDB"], ["rocks", "RocksDB"], ["sqlite", "SQLite"]];

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

/** A table with a column for each engine that was measured. */
function byEngine(measured, rows) {
  const engines = ENGINES.filter(([engine]) => measured[engine]);
  return table(["", ...engines.map(([, name]) => name)], rows.map(([name, cell]) => [name, ...engines.map(([engine]) => cell(measured[engine]) ?? "–")]));
}

function keyValue(kv) {
  const liveBytes = Object.values(kv).find((of) => of.liveBytes)?.liveBytes;
  return byEngine(kv, [
    ["durable put, p50 µs (a plain append and `fdatasync` then)", (of) => `${short(of.durable.p50us)} (${short(of.syncFloor.p50us)})`],
    ["durable puts, 1 000 un-awaited in a tick", (of) => rate(of.durableGroup)],
    ["random puts, 1 000 per transaction", (of) => rate(of.putRandom)],
    ["sequential puts, 1 000 per transaction", (of) => rate(of.putSequential)],
    ["random puts, all in one transaction", (of) => rate(of.transaction)],
    ["random gets, warm", (of) => rate(of.get)],
    ["... after compaction", (of) => rate(of.getCompacted)],
    ["getMany of 100, warm", (of) => rate(of.getMany)],
    ["ordered scan of all, rows", (of) => rate(of.scan)],
    ["scans of 100, rows", (of) => rate(of.scan100)],
    ["bytes written per byte put, random", (of) => of.putRandom.bytesPerByte?.toFixed(1) ?? of.stats?.writeAmplification.toFixed(1)],
    ["files after compaction / live data", (of) => liveBytes && (of.fileBytes / liveBytes).toFixed(2)],
    ["open, and first get, ms", (of) => of.openAndGetMs.toFixed(1)],
    ["open with 10 000 membranes, ms", (of) => of.membranesOpenMs?.toFixed(1)],
  ]);
}

function large(measured) {
  return byEngine(measured, [
    ["random puts, 1 000 per transaction", (of) => rate(of.putLarge)],
    ["... slowest tenth of the mean", (of) => `${(100 * slowestTenth(of.putLarge)).toFixed(0)} %`],
    ["bytes written per byte put", (of) => of.putLarge.bytesPerByte.toFixed(1)],
    ["random gets, not in the engine's cache", (of) => rate(of.getLarge)],
    ["reads of the file per get", (of) => of.getLarge.readsPerGet?.toFixed(2)],
    ["the same, the file mapped", (of) => rate(of.getMapped)],
  ]);
}

/** Of the rates of ten tenths: the least over that of all. */
function slowestTenth({ tenths, perSecond }) {
  return Math.min(...Object.values(tenths)) / perSecond;
}

function pauses(measured) {
  return byEngine(measured, [
    ["a write call, longest, ms (p99.9)", (of) => `${of.call.longestMs.toFixed(1)} (${of.call.p999Ms.toFixed(1)})`],
    ["... without the time inside syncs", (of) => `${of.pause.longestMs.toFixed(1)} (${of.pause.p999Ms.toFixed(1)})`],
    ["... its CPU time", (of) => `${of.cpu.longestMs.toFixed(1)} (${of.cpu.p999Ms.toFixed(1)})`],
    ["slowest second of the mean one", (of) => `${(100 * of.slowestSecond).toFixed(0)} %`],
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

/**
 * What the store wants to reach: rates and ratios are those of CPU time, which other work on
 * the machine changes least; in brackets those of the wall clock.
 */
function storeTargets({ kv, large: many, pauses: paused }, add) {
  const times = (value) => `${value.toFixed(2)} ×`;
  const fast = (what, of, least) => of && add(`${what} ≥ ${short(least)}/s`, `${short(of.perCpuSecond)} (${short(of.perSecond)})`, of.perCpuSecond >= least);
  const beside = (what, mine, theirs, least) => {
    const others = theirs.filter(Boolean);
    if (!mine || others.length === 0) return;
    const [cpu, wall] = ["perCpuSecond", "perSecond"].map((figure) => mine[figure] / Math.max(...others.map((of) => of[figure])));
    add(`${what} ≥ ${least} ×`, `${times(cpu)} (${times(wall)})`, cpu >= least);
    return wall;
  };
  const most = (what, value, limit, unit) => value !== undefined && add(`${what} ≤ ${limit}${unit}`, `${value.toFixed(2)}${unit}`, value <= limit);
  if (kv) {
    const { native, nacre, lmdb, level, rocks, sqlite } = kv;
    fast("random puts, C", native?.putRandom, 1.5e6);
    fast("random puts, JavaScript", nacre?.putRandom, 8e5);
    const wall = beside("random puts, JavaScript, beside the best of LMDB, LevelDB, RocksDB", nacre?.putRandom, [lmdb, level, rocks].map((of) => of?.putRandom), 2.5);
    if (wall !== undefined) add("... by the wall clock ≥ 1.5 ×", times(wall), wall >= 1.5);
    beside("sequential puts, JavaScript, beside LMDB", nacre?.putSequential, [lmdb?.putSequential], 1);
    beside("one transaction, JavaScript, beside LMDB", nacre?.transaction, [lmdb?.transaction], 0.8);
    fast("warm gets, C", native?.get, 1.6e6);
    fast("warm gets, JavaScript", nacre?.get, 9e5);
    fast("getMany, C", native?.getMany, 2.4e6);
    beside("warm gets, JavaScript, beside LMDB", nacre?.get, [lmdb?.get], 1.8);
    fast("ordered scan, C, rows", native?.scan, 12e6);
    fast("ordered scan, JavaScript, rows", nacre?.scan, 4e6);
    beside("ordered scan, JavaScript, beside LMDB", nacre?.scan, [lmdb?.scan], 3);
    if (nacre && sqlite) most("durable put, p50 of JavaScript's over SQLite's", nacre.durable.p50us / sqlite.durable.p50us, 1, " ×");
    most("open, C", native?.openAndGetMs, 10, " ms");
    most("open, JavaScript", nacre?.openAndGetMs, 30, " ms");
    most("open with 10 000 membranes, C", native?.membranesOpenMs, 50, " ms");
    most("open with 10 000 membranes, JavaScript", nacre?.membranesOpenMs, 50, " ms");
  }
  if (many) {
    fast("random puts of many rows, C", many.native?.putLarge, 1.2e6);
    fast("random puts of many rows, JavaScript", many.nacre?.putLarge, 6e5);
    beside("random puts of many rows, JavaScript, beside LMDB", many.nacre?.putLarge, [many.lmdb?.putLarge], 8);
    most("bytes written per byte put, many rows", many.nacre?.putLarge.bytesPerByte, 6, "");
    fast("gets of many rows, C", many.native?.getLarge, 3e5);
    fast("gets of many rows, C, mapped", many.native?.getMapped, 9e5);
    fast("gets of many rows, JavaScript", many.nacre?.getLarge, 2e5);
    most("reads per get of many rows", many.nacre?.getLarge.readsPerGet, 1.05, "");
  }
  if (paused) {
    most("longest pause besides syncs, C", paused.native?.pause.longestMs, 10, " ms");
    most("longest pause besides syncs, JavaScript", paused.nacre?.pause.longestMs, 30, " ms");
    for (const [what, of] of [["C", paused.native], ["JavaScript", paused.nacre]]) {
      if (of) add(`slowest second of the mean one, ${what} ≥ 25 %`, `${(100 * of.slowestSecond).toFixed(0)} %`, of.slowestSecond >= 0.25);
    }
  }
}

/** What this stage of Nacre wants to reach. */
function targets(run) {
  const { vectors: runs } = run, met = [];
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
  storeTargets(run, add);
  return table(["target", "measured", ""], met);
}

export function markdown(run) {
  const { machine, settings, kv, vectors: runs, sizes, large: many, pauses: paused } = run;
  const versions = Object.entries(machine.peers).map(([name, version]) => `${name} ${version}`).join(", ");
  return [
    `Measured ${machine.date.slice(0, 10)} on ${machine.cpu} (${machine.cores} cores, L3 ${machine.cache}; load ${machine.load.join(" and ")} before and after), ` +
    `Linux ${machine.kernel}, ${machine.files}; Node ${machine.node}, ${machine.compiler}; ${versions}. Commit ${machine.commit}. ` +
    `Medians of ${settings.rounds} round${settings.rounds === 1 ? "" : "s"}, ` +
    `the engines in turn, one thread. ${settings.quick ? "**Quick mode.** " : ""}`,
    kv && `**Key-value**: ${short(settings.rows)} rows, random 16-byte keys, 100-byte values; every answer checked. ` +
    "Per second of wall clock and, in brackets, of CPU time. No sync per transaction but where it says durable.",
    kv && keyValue(kv),
    many && `**Many rows**: ${short(settings.large)} of them, 64 MiB of memory, one round.`,
    many && large(many),
    paused && `**Pauses**: single calls that put 1 000 rows each, until there are ${short(settings.large)}; 64 MiB of memory.`,
    paused && pauses(paused),
    runs && "**Vectors**: CPU time per query; the rows are in the database's cache, the read is of as many bytes.",
    runs && vectors(runs),
    sizes && `**Size**: nacre.wasm ${(sizes.wasm.brotli / 1024).toFixed(0)} KiB after brotli (scalar ${(sizes.scalar.brotli / 1024).toFixed(0)} KiB), ` +
    `the package ${(sizes.packed / 1024).toFixed(0)} KiB packed, ${(sizes.unpacked / 1024).toFixed(0)} KiB unpacked.`,
    targets(run),
  ].filter(Boolean).join("\n\n") + "\n";
}
