// search-engines.mjs - one face for searches with Nacre in WebAssembly and with its peers, each through
// its npm package and as fast as its documentation says. Vectors of cosine sets have unit length, so that
// peers rank by inner product; what a peer wants a query to be (an array, a text) is made outside the clock.
//
//   load(require, peers)   what can fail where a peer does not run
//   build(set)             puts all rows and indexes them
//   settings               what `use` takes, the cheapest first
//   query(vector)          a query as `search` wants it
//   search(query)          the answer, or a promise of it
//   hits(answer)           [{ key, distance }]

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { HITS } from "./search-sets.mjs";

const M = 16, BUILD = 200, EF = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512];

const rowOf = ({ rows, dimensions }, i) => rows.subarray(i * dimensions, (i + 1) * dimensions);

class Nacre {
  settings = [...[0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99, 0.995, 0.999].map((recall) => ({ recall })), ...[1, 2, 4, 8, 16, 32, 64, 128].map((probes) => ({ probes }))];
  async load(require, peers, nacre) {
    this.nacre = await import(nacre);
  }
  build({ rows, dimensions, metric, count, data }) {
    this.db = this.nacre.openSync(join(data, "db"), { durability: "none", memory: 2 ** 30 });
    this.collection = this.db.collection("set", { key: "integer", vector: { dimensions, metric } });
    for (let from = 0, to; from < count; from = to) {
      to = Math.min(from + 1000, count);
      this.collection.putMany({ keys: Array.from({ length: to - from }, (_, i) => from + i), vectors: rows.subarray(from * dimensions, to * dimensions) });
    }
    this.db.compact();
  }
  use(setting) {
    this.options = { k: HITS, include: [], ...setting };
  }
  query(vector) {
    return vector;
  }
  search(query) {
    return this.collection.search(query, this.options);
  }
  hits(answer) {
    return answer;
  }
}

class Hnswlib {
  settings = EF.map((ef) => ({ ef }));
  load(require) {
    this.Index = require("hnswlib-node").HierarchicalNSW;
  }
  build(set) {
    this.index = new this.Index(set.metric === "l2" ? "l2" : "ip", set.dimensions);
    this.index.initIndex(set.count, M, BUILD, 100);
    for (let i = 0; i < set.count; i++) this.index.addPoint(this.query(rowOf(set, i)), i);
  }
  use({ ef }) {
    this.index.setEf(ef);
  }
  query(vector) {
    return Array.from(vector); // it takes no typed arrays
  }
  search(query) {
    return this.index.searchKnn(query, HITS);
  }
  hits({ neighbors, distances }) {
    return neighbors.map((key, i) => ({ key, distance: distances[i] }));
  }
}

class HnswlibWasm extends Hnswlib {
  async load(require, peers) {
    globalThis.window ??= globalThis; // it is built for browsers
    const { loadHnswlib } = await import(pathToFileURL(join(peers, "node_modules/hnswlib-wasm/dist/hnswlib.js")).href);
    this.Index = (await loadHnswlib()).HierarchicalNSW;
  }
  build(set) {
    this.index = new this.Index(set.metric === "l2" ? "l2" : "ip", set.dimensions, "");
    this.index.initIndex(set.count, M, BUILD, 100);
    for (let i = 0; i < set.count; i++) this.index.addPoint(rowOf(set, i), i, false);
  }
  use({ ef }) {
    this.index.setEfSearch(ef);
  }
  query(vector) {
    return vector;
  }
  search(query) {
    return this.index.searchKnn(query, HITS, undefined);
  }
}

/** Rows as f16: its fastest that keeps the recall. How far it searches is fixed when an index is made. */
class Usearch {
  settings = EF.map((ef) => ({ ef }));
  load(require) {
    this.usearch = require("usearch");
  }
  make(ef) {
    const { metric, dimensions } = this.set;
    return new this.usearch.Index({ dimensions, metric: metric === "l2" ? "l2sq" : "ip", quantization: "f16", connectivity: M, expansion_add: BUILD, expansion_search: ef });
  }
  build(set) {
    this.set = set;
    this.file = join(set.data, "usearch");
    const index = this.make(64);
    for (let i = 0; i < set.count; i++) index.add(BigInt(i), rowOf(set, i), 1);
    index.save(this.file);
  }
  use({ ef }) {
    this.index = this.make(ef);
    this.index.load(this.file);
  }
  query(vector) {
    return vector;
  }
  search(query) {
    return this.index.search(query, HITS, 1);
  }
  hits({ keys, distances }) {
    return Array.from(keys, (key, i) => ({ key: Number(key), distance: distances[i] }));
  }
}

class Zvec {
  settings = EF.map((ef) => ({ ef }));
  load(require) {
    this.zvec = require("@zvec/zvec");
  }
  build(set) {
    const { zvec } = this;
    zvec.ZVecInitialize({ queryThreads: 1, optimizeThreads: 1, logLevel: zvec.ZVecLogLevel.ERROR });
    this.l2 = set.metric === "l2";
    const indexParams = { indexType: zvec.ZVecIndexType.HNSW, metricType: this.l2 ? zvec.ZVecMetricType.L2 : zvec.ZVecMetricType.IP, m: M, efConstruction: BUILD };
    const vectors = { name: "v", dataType: zvec.ZVecDataType.VECTOR_FP32, dimension: set.dimensions, indexParams };
    this.collection = zvec.ZVecCreateAndOpen(join(set.data, "zvec"), new zvec.ZVecCollectionSchema({ name: "bench", vectors }));
    for (let from = 0; from < set.count; from += 500) {
      this.collection.insertSync(Array.from({ length: Math.min(500, set.count - from) }, (_, i) => ({ id: String(from + i), vectors: { v: rowOf(set, from + i) } })));
    }
    this.collection.optimizeSync({ concurrency: 1 });
  }
  use({ ef }) {
    this.params = { indexType: this.zvec.ZVecIndexType.HNSW, ef };
  }
  query(vector) {
    return vector;
  }
  search(vector) {
    return this.collection.querySync({ fieldName: "v", vector, topk: HITS, outputFields: [], params: this.params });
  }
  hits(docs) {
    return docs.map(({ id, score }) => ({ key: Number(id), distance: this.l2 ? score : -score }));
  }
}

/** Exact; under L2, which ranks unit vectors as the cosine does and is several times faster there. */
class SqliteVec {
  settings = [{}];
  load(require) {
    const Database = require("better-sqlite3");
    this.db = new Database(":memory:");
    this.db.loadExtension(require("sqlite-vec").getLoadablePath());
  }
  build(set) {
    this.db.exec(`CREATE VIRTUAL TABLE t USING vec0(v float[${set.dimensions}])`);
    const insert = this.db.prepare("INSERT INTO t (rowid, v) VALUES (?, ?)");
    this.db.transaction(() => {
      for (let i = 0; i < set.count; i++) insert.run(BigInt(i), rowOf(set, i));
    })();
    this.select = this.db.prepare(`SELECT rowid, distance FROM t WHERE v MATCH ? AND k = ${HITS} ORDER BY distance`).raw();
  }
  use() {}
  query(vector) {
    return vector;
  }
  search(query) {
    return this.select.all(query);
  }
  hits(rows) {
    return rows.map(([key, distance]) => ({ key, distance }));
  }
}

class Pgvector {
  settings = EF.map((ef) => ({ ef }));
  async load(require) {
    const { PGlite } = require("@electric-sql/pglite"), { vector } = require("@electric-sql/pglite-pgvector");
    this.pg = await PGlite.create({ extensions: { vector } });
    await this.pg.exec("CREATE EXTENSION vector");
  }
  async build(set) {
    const [operator, operators] = set.metric === "l2" ? ["<->", "vector_l2_ops"] : ["<#>", "vector_ip_ops"];
    await this.pg.exec(`CREATE TABLE t (id integer, v vector(${set.dimensions})); SET maintenance_work_mem = '512MB'`);
    for (let from = 0; from < set.count; from += 100) {
      const some = Array.from({ length: Math.min(100, set.count - from) }, (_, i) => `(${from + i},'${this.query(rowOf(set, from + i))}')`);
      await this.pg.exec(`INSERT INTO t VALUES ${some.join(",")}`);
    }
    await this.pg.exec(`CREATE INDEX ON t USING hnsw (v ${operators}) WITH (m = ${M}, ef_construction = ${BUILD}); ANALYZE t; SET enable_seqscan = off`);
    this.select = `SELECT id, v ${operator} $1 AS distance FROM t ORDER BY v ${operator} $1 LIMIT ${HITS}`;
  }
  use({ ef }) {
    return this.pg.exec(`SET hnsw.ef_search = ${ef}`);
  }
  query(vector) {
    return `[${vector.join(",")}]`;
  }
  search(query) {
    return this.pg.query(this.select, [query]);
  }
  hits({ rows }) {
    return rows.map(({ id, distance }) => ({ key: id, distance }));
  }
}

const ENGINES = { nacre: Nacre, hnswlib: Hnswlib, usearch: Usearch, hnswlibWasm: HnswlibWasm, zvec: Zvec, sqliteVec: SqliteVec, pgvector: Pgvector };

/** The npm package that an engine is. */
export const PACKAGES = {
  hnswlib: "hnswlib-node", usearch: "usearch", hnswlibWasm: "hnswlib-wasm", zvec: "@zvec/zvec", sqliteVec: "sqlite-vec", pgvector: "@electric-sql/pglite-pgvector",
};

export function engine(name, set) {
  mkdirSync(set.data, { recursive: true });
  return new ENGINES[name]();
}
