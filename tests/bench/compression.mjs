// What compression and the size of blocks cost and save: node tests/bench/compression.mjs [ROWS]
//
// The rows are the 5 000 real texts of examples/data as JSON, over and over under other keys.
// Each layout gets the same rows in a file of its own; figures are bytes after compact(), and
// operations per second of CPU time of this process, which a loaded machine disturbs least.
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { openSync } from "../../build/js/index.js";

const rows = Number(process.argv[2] ?? 50_000);
const texts = gunzipSync(readFileSync(new URL("../../examples/data/packages.jsonl.gz", import.meta.url)))
  .toString().split("\n").filter(Boolean).map((line) => JSON.parse(line));
const bytes = texts.reduce((sum, each) => sum + JSON.stringify(each).length, 0) / texts.length;
const layouts = [{ blockSize: 4096 }, { blockSize: 16384 }, { blockSize: 65536 },
  ...[4096, 8192, 16384, 32768, 65536].map((blockSize) => ({ blockSize, compression: "lz4" }))];

/** Operations per second of CPU time. */
function rate(count, work) {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return Math.round(count / ((user + system) / 1e6));
}

let random = 1;
const next = (below) => {
  random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
  return Math.floor((random / 2 ** 32) * below);
};

const table = [];
for (const schema of layouts) {
  const folder = mkdtempSync(join(tmpdir(), "nacre-compression-"));
  const name = join(folder, "db");
  try {
    let db = openSync(name, { durability: "none" });
    let kv = db.kv("packages", { key: "integer", ...schema });
    const put = rate(rows, () => {
      for (let i = 0; i < rows; i += 500) {
        kv.putMany(Array.from({ length: Math.min(500, rows - i) }, (_, k) => [(i + k) * 7919 % rows, texts[(i + k) % texts.length]]));
      }
      db.checkpoint();
    });
    const compact = rate(rows, () => db.compact());
    db.close();
    const size = statSync(name).size;
    db = openSync(name, { mode: "readonly", memory: 4 << 20 }); // a cache of 2 MiB: most gets read a block
    kv = db.kv("packages");
    const cold = rate(20_000, () => {
      for (let i = 0; i < 20_000; i++) if (kv.get(next(rows)) === undefined) throw new Error("a row is missing");
    });
    let seen = 0;
    const scan = rate(rows, () => {
      for (const key of kv.keys()) seen += Number(key >= 0);
    });
    if (seen !== rows) throw new Error(`${seen} rows of ${rows}`);
    db.close();
    table.push({ layout: `${schema.compression ?? "none"} ${schema.blockSize / 1024} KiB`, "bytes/row": Math.round(size / rows),
      ratio: +(bytes * rows / size).toFixed(2), "puts/s": put, "compact rows/s": compact, "gets/s": cold, "keys/s": scan });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
console.log(`${rows} rows of ${Math.round(bytes)} bytes of JSON; per second of CPU time`);
console.table(table);
