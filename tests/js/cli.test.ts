// The command, native and as a WASI command: every verb, what it prints, and how it exits.
// Whatever fails says so in exactly one line on standard error.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, test } from "node:test";

const root = resolve(import.meta.dirname, "../..");
const build = resolve(root, process.env["NACRE_BUILD"] ?? "build");

interface Result { code: number | null; out: string; err: string; }
type Run = (directory: string, ...args: string[]) => Result;

function start(file: string, args: string[], cwd: string): Result {
  const done = spawnSync(file, args, { cwd, encoding: "utf8", maxBuffer: 1 << 28 });
  if (done.error) throw done.error;
  const result = { code: done.status, out: done.stdout, err: done.stderr };
  const context = `${args.join(" ")}\n${result.out.slice(-500)}${result.err}`;
  assert.ok([0, 1, 2].includes(result.code ?? -1), context);
  if (result.code === 0) assert.equal(result.err, "", context);
  else assert.match(result.err, /^nacre[^\n]*: [^\n]+\n$/, `one line: ${context}`);
  return result;
}

const native: Run = (directory, ...args) => start(join(build, "nacre"), args, directory);
const wasi: Run = (directory, ...args) =>
  start(process.execPath, ["--no-warnings", join(root, "tests/lib/wasi-command.mjs"), join(build, "nacre.wasm"), directory, ...args], directory);

function inDirectory(use: (directory: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), "nacre-cli-"));
  try {
    use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Runs what must succeed; gives its output. */
function ok(run: Run, directory: string, ...args: string[]): string {
  const result = run(directory, ...args);
  assert.equal(result.code, 0, `${args.join(" ")}: ${result.err}`);
  return result.out;
}

const lines = (text: string): any[] => text.split("\n").filter((line) => line).map((line) => JSON.parse(line));

const verbs = ["create", "info", "put", "get", "del", "scan", "search", "import", "dump", "stats", "verify", "repair", "wal", "manifest", "segments", "compact", "bench", "help"];

/** Each step: arguments, exit code, standard output, and what the line on standard error says. */
type Step = [args: string[], code: number, out: string, err?: RegExp];

function steps(run: Run, table: Step[]): void {
  inDirectory((directory) => {
    for (const [args, code, out, err] of table) {
      const result = run(directory, ...args);
      assert.equal(result.out, out, args.join(" "));
      assert.equal(result.code, code, `${args.join(" ")}: ${result.err}`);
      if (err) assert.match(result.err, err, args.join(" "));
    }
  });
}

/** A .npy file of two dimensions. */
function npy(descr: string, rows: number, columns: number, data: Uint8Array): Uint8Array {
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`.padEnd(117) + "\n";
  const head = Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length, 0);
  return Buffer.concat([head, Buffer.from(header), data]);
}

const bytesOf = (array: ArrayBufferView): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

for (const { name, run } of [{ name: "native", run: native }, { name: "WASI", run: wasi }]) {
  describe(`the command, ${name}`, () => {
    test("key-value: create, put, get, del, scan, info, dump", () => steps(run, [
      [["create", "d", "settings"], 0, ""],
      [["create", "d", "settings", "--kind", "kv", "--key", "text", "--value", "json"], 0, ""],
      [["put", "d", "settings", "theme", '{ "dark" : true, "names": ["a b", "\\" "] }'], 0, ""],
      [["put", "d", "settings", "size", "12.50", "--json"], 0, '{"put":1}\n'],
      [["put", "d", "settings", "", '"the empty key"'], 0, ""],
      [["get", "d", "settings", "theme"], 0, '{"dark":true,"names":["a b","\\" "]}\n'],
      [["get", "d", "settings", "size"], 0, "12.50\n"],
      [["get", "d", "settings", "size", "--json"], 0, '{"key":"size","value":12.50}\n'],
      [["get", "d", "settings", ""], 0, '"the empty key"\n'],
      [["get", "d", "settings", "none"], 1, "", /settings.*none/],
      [["scan", "d", "settings"], 0, '{"key":"","value":"the empty key"}\n{"key":"size","value":12.50}\n{"key":"theme","value":{"dark":true,"names":["a b","\\" "]}}\n'],
      [["scan", "d", "settings", "--gte", "size", "--lt", "theme"], 0, '{"key":"size","value":12.50}\n'],
      [["scan", "d", "settings", "--reverse", "--limit", "1"], 0, '{"key":"theme","value":{"dark":true,"names":["a b","\\" "]}}\n'],
      [["scan", "d", "settings", "--prefix=si"], 0, '{"key":"size","value":12.50}\n'],
      [["scan", "d", "settings", "--gt", "theme"], 0, ""],
      [["dump", "d"], 0, '{"membrane":"settings","kind":"kv","schema":{"key":"text","value":"json"}}\n' +
        '{"membrane":"settings","row":{"key":"","value":"the empty key"}}\n{"membrane":"settings","row":{"key":"size","value":12.50}}\n' +
        '{"membrane":"settings","row":{"key":"theme","value":{"dark":true,"names":["a b","\\" "]}}}\n'],
      [["del", "d", "settings", "size"], 0, ""],
      [["del", "d", "settings", "size"], 1, "", /size/],
      [["del", "d", "settings", "theme", "--json"], 0, '{"deleted":1}\n'],
      [["scan", "d", "settings", "--json"], 0, '{"key":"","value":"the empty key"}\n'],
    ]));

    test("collections: records, search by vector, by example and with a filter", () => steps(run, [
      [["create", "d", "notes", "--kind", "collection", "--dimensions", "2", "--metric", "l2", "--field", "title:text", "--field", "year:integer", "--field", "tags:json"], 0, ""],
      [["put", "d", "notes", "a", '{"vector":[0,0],"title":"A","year":2020,"tags":["x"]}'], 0, ""],
      [["put", "d", "notes", "b", '{"vector":[3,4],"title":"B","tags":["x","y"]}'], 0, ""],
      [["put", "d", "notes", "c", '{"vector":[0,0.5],"year":2026}'], 0, ""],
      [["get", "d", "notes", "b"], 0, '{"key":"b","vector":[3,4],"title":"B","year":null,"tags":["x","y"]}\n'],
      [["scan", "d", "notes"], 0, '{"key":"a","title":"A","year":2020,"tags":["x"]}\n{"key":"b","title":"B","year":null,"tags":["x","y"]}\n{"key":"c","title":null,"year":2026,"tags":null}\n'],
      [["search", "d", "notes", "--vector", "[0,0]"], 0, '{"key":"a","distance":0,"title":"A","year":2020,"tags":["x"]}\n' +
        '{"key":"c","distance":0.5,"title":null,"year":2026,"tags":null}\n{"key":"b","distance":5,"title":"B","year":null,"tags":["x","y"]}\n'],
      [["search", "d", "notes", "--like", "b", "--k", "1"], 0, '{"key":"b","distance":0,"title":"B","year":null,"tags":["x","y"]}\n'],
      [["search", "d", "notes", "--vector", "[0,0]", "--where", '{"tags":{"contains":"y"}}', "--recall", "0.9"], 0, '{"key":"b","distance":5,"title":"B","year":null,"tags":["x","y"]}\n'],
      [["search", "d", "notes", "--vector", "[0,0]", "--where", '{"year":1}', "--recall", "exact", "--json"], 0, ""],
      [["search", "d", "notes", "--vector", "[0,0,0]"], 2, "", /2 numbers/],
      [["search", "d", "notes", "--vector", "[0]"], 2, "", /1 numbers, not 2/],
      [["search", "d", "notes", "--like", "zz"], 1, "", /zz/],
      [["search", "d", "notes", "--vector", "[0,0]", "--where", '{"nope":1}'], 1, "", /nope/],
      [["search", "d", "notes", "--vector", "[0,0]", "--where", "{"], 2, "", /--where/],
      [["search", "d", "notes", "--vector", "[0,0]", "--recall", "2"], 2, "", /recall/],
      [["search", "d", "notes", "--vector", "[0,0]", "--k", "0"], 2, "", /--k/],
      [["search", "d", "notes"], 2, "", /--vector JSON or --like KEY/],
      [["put", "d", "notes", "d", '{"title":"no vector"}'], 1, "", /vector/],
      [["put", "d", "notes", "d", '{"vector":[1,2],"nope":1}'], 1, "", /nope/],
      [["put", "d", "notes", "d", '{"vector":[1,2],"year":"x"}'], 1, "", /year/],
      [["put", "d", "notes", "d", '{"vector":[1,1e999]}'], 1, "", /vector/],
      [["put", "d", "notes", "d", "[]"], 1, "", /object/],
    ]));

    test("F23 F28 searches: how far, how many lists, and how it was done", () => steps(run, [
      [["create", "d", "n", "--kind", "collection", "--dimensions", "1", "--metric", "l2"], 0, ""],
      [["put", "d", "n", "a", '{"vector":[0.25]}'], 0, ""],
      [["put", "d", "n", "b", '{"vector":[2]}'], 0, ""],
      [["search", "d", "n", "--vector", "[0]", "--max-distance", "1"], 0, '{"key":"a","distance":0.25}\n'],
      [["search", "d", "n", "--vector", "[0]", "--max-distance", "0.25"], 0, '{"key":"a","distance":0.25}\n'],
      [["search", "d", "n", "--vector", "[0]", "--max-distance", "0.24999999999"], 0, ""],
      [["search", "d", "n", "--vector", "[0]", "--max-distance", "-1e300"], 0, ""],
      [["search", "d", "n", "--vector", "[0]", "--probes", "3", "--k", "1"], 0, '{"key":"a","distance":0.25}\n'],
      [["search", "d", "n", "--vector", "[0]", "--explain"], 0, '{"path":"exact","codesScored":0,"reranked":2,"segments":0}\n'],
      [["search", "d", "n", "--vector", "[0]", "--max-distance", "far"], 2, "", /--max-distance/],
      [["scan", "d", "n", "--where", '{"key":{"gt":"a"}}'], 0, '{"key":"b"}\n'],
      [["scan", "d", "n", "--where", '{"nope":1}'], 1, "", /nope/],
      [["scan", "d", "n", "--where", "{"], 2, "", /--where/],
      [["search", "d", "n", "--vector", "[0]", "--probes", "0"], 2, "", /--probes/],
      [["search", "d", "n", "--vector", "[0]", "--probes", "2", "--recall", "exact"], 1, "", /exact/],
    ]));

    test("F09 F10 elements: what numbers are kept as", () => steps(run, [
      [["create", "d", "halves", "--kind", "collection", "--dimensions", "2", "--metric", "l2", "--element", "f16"], 0, ""],
      [["put", "d", "halves", "a", '{"vector":[0.1,2049]}'], 0, ""],
      [["get", "d", "halves", "a"], 0, '{"key":"a","vector":[0.099975586,2048]}\n'],
      [["put", "d", "halves", "b", '{"vector":[65520,0]}'], 1, "", /65504/],
      [["create", "d", "bytes", "--kind", "collection", "--dimensions", "2", "--metric", "ip", "--element", "i8"], 0, ""],
      [["put", "d", "bytes", "a", '{"vector":[-128,127]}'], 0, ""],
      [["put", "d", "bytes", "b", '{"vector":[0.5,0]}'], 1, "", /whole number/],
      [["search", "d", "bytes", "--like", "a"], 0, '{"key":"a","distance":-32513}\n'],
      [["create", "d", "bits", "--kind", "collection", "--dimensions", "9", "--element", "bit"], 0, ""],
      [["put", "d", "bits", "a", '{"vector":[1,0,0,0,0,0,0,0,1]}'], 0, ""],
      [["put", "d", "bits", "b", '{"vector":[2,0,0,0,0,0,0,0,1]}'], 1, "", /0 or 1/],
      [["search", "d", "bits", "--vector", "[0,1,0,0,0,0,0,0,1]"], 0, '{"key":"a","distance":2}\n'],
      [["dump", "d", "bits"], 0, '{"key":"a","vector":[1,0,0,0,0,0,0,0,1]}\n'],
      [["create", "d", "x", "--kind", "collection", "--dimensions", "9", "--metric", "l2", "--element", "f8"], 2, "", /f8/],
      [["create", "d", "x", "--kind", "collection", "--dimensions", "9", "--metric", "l2", "--element", "bit"], 1, "", /hamming/],
      [["create", "d", "x", "--kind", "kv", "--element", "f16"], 2, "", /--element/],
    ]));

    test("keys and values of every type come back as they were given", () => {
      const keys: [type: string, argument: string, json: string][] = [
        ["text", "a \"quoted\" ü😀\n", JSON.stringify("a \"quoted\" ü😀\n")], ["text", "--", '"--"'],
        ["integer", "-5", "-5"], ["integer", "9223372036854775807", "9223372036854775807"], ["bigint", "-9223372036854775808", "-9223372036854775808"],
        ["real", "0.1", "0.1"], ["real", "-1e300", "-1e+300"], ["real", "5e-324", "5e-324"], ["boolean", "true", "true"],
        ["bytes", "AAH/", '"AAH/"'], ["timestamp", "2026-01-31T12:00:00Z", '"2026-01-31T12:00:00.000Z"'], ["timestamp", "-1", '"1969-12-31T23:59:59.999Z"'],
        ["text,integer", '["a", 7]', '["a",7]'],
      ];
      inDirectory((directory) => {
        for (const [index, [type, argument, json]] of keys.entries()) {
          ok(run, directory, "create", "d", `k${index}`, "--key", type);
          ok(run, directory, "put", "d", `k${index}`, "--", argument, "1");
          assert.equal(ok(run, directory, "get", "d", `k${index}`, "--json", "--", argument), `{"key":${json},"value":1}\n`);
          assert.equal(ok(run, directory, "scan", "d", `k${index}`, `--gte=${argument}`), `{"key":${json},"value":1}\n`);
        }
        const fields = { t: "text", i: "integer", g: "bigint", r: "real", b: "boolean", y: "bytes", w: "timestamp", j: "json" };
        ok(run, directory, "create", "d", "all", "--kind", "table", ...Object.entries(fields).flatMap(([field, type]) => ["--field", `${field}:${type}`]));
        const record = '"t":"x\\u0000y","i":-1,"g":9007199254740993,"r":0.30000000000000004,"b":false,"y":"/w==","w":"2026-01-31T00:00:00.000Z","j":{"a":[1,null]}';
        ok(run, directory, "put", "d", "all", "k", `{${record}}`);
        assert.equal(ok(run, directory, "get", "d", "all", "k"), `{"key":"k",${record}}\n`);
        ok(run, directory, "create", "d", "text", "--value", "text");
        ok(run, directory, "put", "d", "text", "k", '"v"');
        assert.equal(ok(run, directory, "get", "d", "text", "k"), '"v"\n');
        ok(run, directory, "create", "d", "bytes", "--value", "bytes");
        ok(run, directory, "put", "d", "bytes", "k", '"AP8="');
        assert.equal(ok(run, directory, "get", "d", "bytes", "k"), '"AP8="\n');
      });
    });

    test("vectors are printed so that every bit comes back", () => inDirectory((directory) => {
      const words = new Uint32Array(64);
      let state = 20261121;
      for (let i = 0; i < words.length; i++) words[i] = (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
      const vector = [...new Float32Array(words.buffer)].map((x) => (Number.isFinite(x) ? x : 1));
      vector[0] = -0;
      ok(run, directory, "create", "d", "v", "--kind", "collection", "--dimensions", "64", "--metric", "ip");
      ok(run, directory, "put", "d", "v", "a", JSON.stringify({ vector }).replace("[0,", "[-0,"));
      const [record] = lines(ok(run, directory, "dump", "d", "v"));
      assert.deepEqual(bytesOf(Float32Array.from(record.vector)), bytesOf(Float32Array.from(vector)));
    }));

    test("import: what is dumped can be imported; wrong lines are named, counted and left out", () => inDirectory((directory) => {
      const shape = ["--kind", "collection", "--dimensions", "3", "--metric", "cosine", "--field", "title:text", "--field", "year:integer"];
      const rows = Array.from({ length: 2500 }, (_, i) => ({ key: `k${String(i).padStart(5, "0")}`, vector: [i + 1, 1, 0.5], title: `T${i}`, year: i % 7 ? i : null }));
      ok(run, directory, "create", "d", "a", ...shape);
      ok(run, directory, "create", "d", "b", ...shape);
      writeFileSync(join(directory, "a.jsonl"), rows.map((row) => JSON.stringify(row) + "\n").join(""));
      assert.equal(ok(run, directory, "import", "d", "a", "a.jsonl"), "imported 2500, refused 0\n");
      const dumped = ok(run, directory, "dump", "d", "a");
      assert.deepEqual(lines(dumped), rows);
      writeFileSync(join(directory, "b.jsonl"), dumped);
      assert.deepEqual(lines(ok(run, directory, "import", "d", "b", "b.jsonl", "--json")), [{ imported: 2500, refused: 0 }]);
      assert.equal(ok(run, directory, "dump", "d", "b"), dumped);
      writeFileSync(join(directory, "c.jsonl"), [
        '{"key":"n1","vector":[1,2,3]}', "", "not JSON", '{"vector":[1,2,3]}', '{"key":"n2"}', '{"key":"n3","vector":[1,2]}', '{"key":"n4","vector":[0,0,0]}',
        '{"key":"n5","vector":[1,2,3],"yaer":1}', '{"key":"n6","vector":[1,2,3],"year":"x"}', '{"key":7,"vector":[1,2,3]}', '{"key":"n7","vector":[1,2,3]}',
      ].join("\r\n"));
      const mixed = run(directory, "import", "d", "b", "c.jsonl");
      assert.equal(mixed.code, 1);
      assert.deepEqual(mixed.out.split("\n").map((line) => /^refused: line (\d+)/.exec(line)?.[1]).filter(Boolean), ["3", "4", "5", "6", "7", "8", "9", "10"]);
      assert.match(mixed.out, /imported 2, refused 8\n$/);
      assert.match(mixed.err, /c\.jsonl: 8 refused, the first is number 3/);
      const named = run(directory, "import", "d", "b", "c.jsonl", "--json", "--ignore-unknown");
      assert.deepEqual(lines(named.out).map((line) => line.refused ?? line.imported), [3, 4, 5, 6, 7, 9, 10, 7]);
      assert.equal(lines(named.out).at(-1).imported, 3);
      assert.equal(lines(ok(run, directory, "scan", "d", "b", "--prefix", "n")).length, 3);
    }));

    test("import: CSV with quotes, empty cells and vectors", () => inDirectory((directory) => {
      ok(run, directory, "create", "d", "t", "--kind", "table", "--key", "integer", "--field", "name:text", "--field", "score:real", "--field", "good:boolean", "--field", "more:json");
      writeFileSync(join(directory, "t.csv"), '\ufeffkey,name,score,good,more\r\n1,"a, ""b""\nc",0.5,true,"{""x"":1}"\r\n2,,,,\n3,"",1e3,false,[]\n\nx,a,1,true,1\n4,a,one,true,1\n5,a\n');
      const result = run(directory, "import", "d", "t", "t.csv");
      assert.match(result.out, /line 7:.*\n.*line 8:.*\n.*line 9:.*\nimported 3, refused 3\n$/);
      assert.deepEqual(lines(ok(run, directory, "scan", "d", "t")), [
        { key: 1, name: 'a, "b"\nc', score: 0.5, good: true, more: { x: 1 } },
        { key: 2, name: null, score: null, good: null, more: null },
        { key: 3, name: "", score: 1000, good: false, more: [] },
      ]);
      ok(run, directory, "create", "d", "v", "--kind", "collection", "--dimensions", "2", "--metric", "l2", "--field", "n:integer");
      writeFileSync(join(directory, "v.csv"), 'id,vector,n,other\na,"[1, 2]",5,z\n');
      assert.match(run(directory, "import", "d", "v", "v.csv").err, /"id"|"other"/);
      ok(run, directory, "import", "d", "v", "v.csv", "--key-from", "id", "--ignore-unknown");
      assert.deepEqual(lines(ok(run, directory, "dump", "d", "v")), [{ key: "a", vector: [1, 2], n: 5 }]);
    }));

    test("import: .npy of four kinds, .fvecs and .bvecs", () => inDirectory((directory) => {
      const halves = Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7bff); // 1, -2, the least, the greatest
      const kinds: [file: string, bytes: Uint8Array, vectors: number[][]][] = [
        ["f4.npy", npy("<f4", 2, 2, bytesOf(Float32Array.of(1, 2, 3.5, -4))), [[1, 2], [3.5, -4]]],
        ["f2.npy", npy("<f2", 2, 2, bytesOf(halves)), [[1, -2], [Math.fround(2 ** -24), 65504]]],
        ["i1.npy", npy("|i1", 2, 2, Uint8Array.of(1, 255, 128, 127)), [[1, -1], [-128, 127]]],
        ["u1.npy", npy("|u1", 2, 2, Uint8Array.of(1, 255, 128, 127)), [[1, 255], [128, 127]]],
        ["x.fvecs", Buffer.concat([Uint8Array.of(2, 0, 0, 0), bytesOf(Float32Array.of(1, 2)), Uint8Array.of(2, 0, 0, 0), bytesOf(Float32Array.of(3, 4))]), [[1, 2], [3, 4]]],
        ["x.bvecs", Uint8Array.of(2, 0, 0, 0, 9, 8, 2, 0, 0, 0, 7, 255), [[9, 8], [7, 255]]],
      ];
      for (const [file, bytes, vectors] of kinds) {
        ok(run, directory, "create", "d", file, "--kind", "collection", "--key", "integer", "--dimensions", "2", "--metric", "l2");
        writeFileSync(join(directory, file), bytes);
        assert.equal(ok(run, directory, "import", "d", file, file), "imported 2, refused 0\n");
        const dumped = lines(ok(run, directory, "dump", "d", file)).map(({ key, vector }) => ({ key, vector: vector.map(Math.fround) }));
        assert.deepEqual(dumped, vectors.map((vector, key) => ({ key, vector })), file);
        writeFileSync(join(directory, `cut.${file}`), bytes.subarray(0, bytes.length - 1));
        assert.match(run(directory, "import", "d", file, `cut.${file}`).err, /row 1: it is cut short/, file);
      }
      ok(run, directory, "create", "d", "named", "--kind", "collection", "--dimensions", "2", "--metric", "l2", "--field", "title:text");
      writeFileSync(join(directory, "n.f32.npy"), npy("<f4", 2, 2, bytesOf(Float32Array.of(1, 2, 3, 4))));
      writeFileSync(join(directory, "n.jsonl"), '{"name":"a","title":"A","x":1}\n{"name":"b","title":null}\n');
      assert.match(run(directory, "import", "d", "named", "n.f32.npy").err, /2 refused/);
      ok(run, directory, "import", "d", "named", "n.f32.npy", "--key-from", "name", "--ignore-unknown");
      assert.deepEqual(lines(ok(run, directory, "dump", "d", "named")), [{ key: "a", vector: [1, 2], title: "A" }, { key: "b", vector: [3, 4], title: null }]);
      ok(run, directory, "create", "d", "three", "--kind", "collection", "--dimensions", "3", "--metric", "l2");
      assert.match(run(directory, "import", "d", "three", "f4.npy").err, /2 numbers, the collection has 3 dimensions/);
      writeFileSync(join(directory, "f8.npy"), npy("<f8", 1, 3, new Uint8Array(24)));
      assert.match(run(directory, "import", "d", "three", "f8.npy").err, /float32, float16, int8 or uint8/);
    }));

    test("h06: repair, wal, manifest and segments, of a whole database and of a damaged one", () => inDirectory((directory) => {
      ok(run, directory, "create", "d", "s");
      for (const key of ["a", "b", "c"]) ok(run, directory, "put", "d", "s", key, "1");
      const frames = lines(ok(run, directory, "wal", "d", "--json")).filter(({ what }) => what === "frame");
      assert.equal(frames.length, 4);
      assert.ok(frames.every(({ records, offset }) => records > 0 && offset >= 8192));
      assert.match(ok(run, directory, "wal", "d"), /^frame file="d-wal\d" offset=\d+ size=\d+ lsn=/m);
      ok(run, directory, "compact", "d");
      ok(run, directory, "put", "d", "s", "d", "1");
      const [segment] = lines(ok(run, directory, "segments", "d", "--json"));
      assert.deepEqual([segment.what, segment.rows, segment.deletes], ["segment", 5, 0]);
      assert.equal(lines(ok(run, directory, "manifest", "d", "--json")).filter(({ what }) => what === "superblock").length, 2);
      assert.match(ok(run, directory, "repair", "d", "--out", "copy"), /^4 rows in 1 membranes are saved in copy; 0 damages, 0 losses, 0 doubts$/m);

      const bytes = readFileSync(join(directory, "d"));
      bytes.fill(0, 0, 8192); // both superblocks
      bytes[segment.offset + 30]! ^= 1;
      writeFileSync(join(directory, "d"), bytes);
      const verified = run(directory, "verify", "d", "--json");
      assert.equal(verified.code, 1);
      const report = JSON.parse(verified.out);
      assert.equal(report.ok, false);
      assert.deepEqual(report.problems.slice(0, 2).map(({ where, offset }: any) => [where, offset]), [["d", 0], ["d", 4096]]);
      assert.equal(lines(ok(run, directory, "manifest", "d", "--json")).filter(({ wrong }) => wrong).length, 2);
      assert.equal(lines(ok(run, directory, "segments", "d", "--json")).length, 1);
      const repaired = JSON.parse(ok(run, directory, "repair", "d", "--out", "new", "--json"));
      assert.deepEqual([repaired.ok, repaired.rows, repaired.losses], [false, 1, 1]);
      assert.equal(ok(run, directory, "get", "new", "s", "d"), "1\n");
      assert.deepEqual(readFileSync(join(directory, "d")), bytes);
      assert.match(run(directory, "repair", "d", "--out", "new").err, /EXISTS|already/);
      assert.equal(run(directory, "repair", "d").code, 2);
      assert.equal(run(directory, "wal", "nothing").code, 1);
    }));

    test("info, stats, verify, compact and bench, as text and as JSON", () => inDirectory((directory) => {
      ok(run, directory, "create", "d", "kv", "--key", "integer");
      ok(run, directory, "create", "d", "notes", "--kind", "collection", "--dimensions", "2", "--metric", "cosine", "--field", "title:text", "--field", "year:integer:indexed");
      ok(run, directory, "put", "d", "kv", "1", "1");
      assert.match(ok(run, directory, "info", "d"), /^kv: kv, 1 rows, \d+ bytes, .*\nnotes: collection, 0 rows, .*\n$/);
      const [kv, notes] = lines(ok(run, directory, "info", "d", "--json"));
      assert.deepEqual({ ...kv, bytes: 0 }, { name: "kv", kind: "kv", rows: 1, bytes: 0, schema: { key: "integer", value: "json" } });
      assert.deepEqual(notes.schema, { key: "text", vector: { dimensions: 2, metric: "cosine", element: "f32" }, fields: { title: "text", year: { type: "integer", indexed: true } } });
      assert.match(ok(run, directory, "stats", "d"), /^file\.size: \d+$/m);
      const [stats] = lines(ok(run, directory, "stats", "d", "--json"));
      assert.equal(typeof stats.file.size, "number");
      for (const deep of [[], ["--deep"]]) {
        assert.equal(ok(run, directory, "verify", "d", ...deep), "ok\n");
        assert.deepEqual(lines(ok(run, directory, "verify", "d", "--json", ...deep)), [{ problems: [], ok: true }]);
      }
      const measured = lines(ok(run, directory, "bench", "d", "--json"));
      assert.deepEqual(measured.map((line) => line.count), [50000, 50000, 50000, 5000, 50]);
      assert.ok(measured.every((line) => line.seconds >= 0 && line.per_second >= 0));
      assert.equal(lines(ok(run, directory, "info", "d", "--json")).length, 2); // and has removed its rows
      const [compacted] = lines(ok(run, directory, "compact", "d", "--json"));
      assert.deepEqual(Object.keys(compacted), ["before", "after", "rows", "ms"]);
      assert.ok(compacted.after <= compacted.before);
      assert.match(ok(run, directory, "compact", "d"), /^\d+ bytes before, \d+ after, \d+ rows, \d+ ms\n$/);
      assert.equal(ok(run, directory, "get", "d", "kv", "1"), "1\n");
    }));

    test("wrong usage exits 2 and says what to do", () => steps(run, [
      [[], 2, "", /nacre help/],
      [["frobnicate", "d"], 2, "", /frobnicate/],
      [["put", "d"], 2, "", /usage: nacre put/],
      [["get", "d", "x", "k", "more"], 2, "", /"more" is too much/],
      [["get", "d", "x", "k", "--nope"], 2, "", /--nope/],
      [["scan", "d", "x", "--gte"], 2, "", /--gte wants a value/],
      [["scan", "d", "x", "--reverse=1"], 2, "", /has no value/],
      [["help", "nope"], 2, "", /nope/],
      [["create", "d", "x", "--kind", "tree"], 2, "", /kinds are kv, collection and table/],
      [["create", "d", "x", "--key", "float"], 2, "", /types are/],
      [["create", "d", "x", "--kind", "collection"], 2, "", /--dimensions/],
      [["create", "d", "x", "--kind", "collection", "--dimensions", "0", "--metric", "l2"], 2, "", /1 to 16384/],
      [["create", "d", "x", "--kind", "collection", "--dimensions", "3"], 2, "", /--metric/],
      [["create", "d", "x", "--kind", "collection", "--dimensions", "3", "--metric", "l3"], 2, "", /l3/],
      [["create", "d", "x", "--field", "a:text"], 2, "", /--field/],
      [["create", "d", "x", "--kind", "table", "--field", "a"], 2, "", /name:type/],
      [["create", "d", "x", "--kind", "table", "--field", "a:indexed"], 2, "", /name:type/],
      [["create", "d", "x", "--kind", "table", "--value", "json"], 2, "", /--value/],
      [["create", "d", "k", "--key", "integer"], 0, ""],
      [["get", "d", "k", "one"], 2, "", /key one/],
      [["put", "d", "k", "1", "not json"], 2, "", /not json/],
      [["scan", "d", "k", "--limit", "x"], 2, "", /--limit/],
      [["import", "d", "k", "file.xml"], 2, "", /\.jsonl, \.csv, \.npy/],
    ]));

    test("what is refused exits 1 and names the thing", () => inDirectory((directory) => {
      const table: [args: string[], err: RegExp][] = [
        [["get", "none", "x", "k"], /none: .*nacre create/],
        [["info", "none"], /none/],
        [["verify", "none", "--json"], /none/],
        [["scan", "d", "none"], /"none".*nacre info/],
        [["create", "d", "k", "--key", "text"], /k.*integer/],
        [["create", "d", "k", "--kind", "table"], /kv/],
        [["create", "d", "a/b"], /a\/b/],
        [["create", "d", "x", "--kind", "table", "--field", "key:text"], /"key"/],
        [["create", "d", "x", "--kind", "table", "--field", "a:json:indexed"], /"a" is json/],
        [["search", "d", "k", "--vector", "[1]"], /k: .*collection/],
        [["import", "d", "k", "none.jsonl"], /none\.jsonl/],
        [["import", "d", "k", "x.npy"], /collection|x\.npy/],
        [["info", "garbage"], /garbage.*no Nacre database/],
      ];
      ok(run, directory, "create", "d", "k", "--key", "integer");
      writeFileSync(join(directory, "garbage"), "this is a text and no database at all\n".repeat(1000));
      for (const [args, err] of table) {
        const result = run(directory, ...args);
        assert.equal(result.code, 1, `${args.join(" ")}: ${result.err}`);
        assert.match(result.err, err);
        assert.equal(result.out, "");
      }
      assert.equal(readFileSync(join(directory, "garbage"), "utf8").length, 38000); // untouched
    }));

    test("help lists every verb, and explains each", () => inDirectory((directory) => {
      const all = ok(run, directory, "help");
      for (const verb of verbs) {
        assert.match(all, new RegExp(`^  ${verb} `, "m"));
        const help = ok(run, directory, "help", verb);
        assert.match(help, new RegExp(`^usage: nacre ${verb}`));
        assert.match(help, /--json/);
        assert.equal(ok(run, directory, verb, "--help"), help);
      }
      assert.equal(ok(run, directory, "--help"), all);
    }));

    test("damage is named, with exit 1", () => inDirectory((directory) => {
      ok(run, directory, "create", "d", "kv");
      writeFileSync(join(directory, "rows.jsonl"), Array.from({ length: 3000 }, (_, i) => `{"key":"k${i}","value":"${"v".repeat(100)}"}\n`).join(""));
      ok(run, directory, "import", "d", "kv", "rows.jsonl");
      ok(run, directory, "compact", "d");
      const whole = readFileSync(join(directory, "d"));
      for (const at of [whole.indexOf("v".repeat(50)), whole.lastIndexOf("v".repeat(50))]) { // beside the catalog; at the end
        assert.ok(at > 0);
        const damaged = Buffer.from(whole);
        damaged[at] = 0x77;
        writeFileSync(join(directory, "d"), damaged);
        const text = run(directory, "verify", "d", "--deep");
        assert.equal(text.code, 1);
        assert.match(text.out, /^d.* at \d+: .*checksum/);
        assert.match(text.err, /d: damaged in \d+ places/);
        const json = run(directory, "verify", "d", "--deep", "--json");
        assert.equal(json.code, 1);
        const [report] = lines(json.out);
        assert.equal(report.ok, false);
        assert.ok(report.problems.length > 0 && report.problems.every((problem: any) => problem.where && problem.what && problem.offset >= 0));
      }
    }));
  });
}

test("one host's database opens on the other, with the same rows", () => inDirectory((directory) => {
  for (const [from, to, db] of [[native, wasi, "a"], [wasi, native, "b"]] as const) {
    ok(from, directory, "create", db, "kv");
    ok(from, directory, "put", db, "kv", "k", "[1,2]");
    ok(from, directory, "bench", db);
    assert.equal(ok(to, directory, "get", db, "kv", "k"), "[1,2]\n");
    ok(to, directory, "put", db, "kv", "l", "3");
    assert.equal(ok(from, directory, "get", db, "kv", "l"), "3\n");
    assert.equal(ok(from, directory, "verify", db, "--deep"), "ok\n");
  }
}));

test("a database that another process writes to is BUSY, until it is gone", { skip: process.platform === "win32" }, async () => {
  const directory = mkdtempSync(join(tmpdir(), "nacre-cli-"));
  try {
    ok(native, directory, "create", "d", "kv");
    spawnSync("mkfifo", [join(directory, "rows.jsonl")]);
    const holder = spawn(join(build, "nacre"), ["import", "d", "kv", "rows.jsonl"], { cwd: directory, stdio: "ignore" }); // waits for a line
    const gone = new Promise((done) => holder.on("exit", done));
    let result = native(directory, "info", "d");
    for (let i = 0; i < 100; i++) {
      result = native(directory, "put", "d", "kv", "k", "1");
      if (result.code !== 0) break;
      await new Promise((done) => setTimeout(done, 20));
    }
    assert.equal(result.code, 1);
    assert.match(result.err, /--break-lock/);
    holder.kill("SIGKILL");
    await gone;
    ok(native, directory, "put", "d", "kv", "k", "2");
    assert.equal(ok(native, directory, "get", "d", "kv", "k"), "2\n");
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
