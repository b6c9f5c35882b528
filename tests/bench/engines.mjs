// engines.mjs - one face for Nacre and its peers, each as its own documentation says is
// fastest, without reading ahead of the others: keys and values are bytes on all sides.
//
// `durable` means one sync per commit. Without it nobody syncs per transaction.
// Every engine may cache all rows (256 MiB) unless it is loaded with another budget.

import { readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { KEY, keyAt, valueOf } from "./data.mjs";

let MEMORY = 256 * 2 ** 20;

/** Pairs of `keys` from the `from`-th on; `first` is the row of the first key. */
function rowsOf(keys, from, count, first) {
  const rows = new Array(count);
  for (let i = 0; i < count; i++) rows[i] = [keyAt(keys, from + i), valueOf(first + from + i)];
  return rows;
}

export function folderSize(folder) {
  let size = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) size += statSync(join(entry.parentPath, entry.name)).size;
  }
  return size;
}

class Nacre {
  async load(nacre) {
    this.nacre = await import(nacre);
  }
  open(folder, durable) {
    this.folder = folder;
    this.db = this.nacre.openSync(join(folder, "db"), { durability: durable ? "strict" : "none", memory: MEMORY });
    this.kv = this.db.kv("kv", { key: "bytes", value: "bytes" });
  }
  putBatch(keys, from, count, first = 0) {
    this.kv.putMany(rowsOf(keys, from, count, first));
  }
  putDurable(key, value) {
    this.kv.put(key, value);
  }
  async openGroup(folder) {
    this.asyncDb = await this.nacre.open(join(folder, "db"), { durability: "strict", memory: MEMORY });
    this.asyncKv = await this.asyncDb.kv("kv", { key: "bytes", value: "bytes" });
  }
  putLater(key, value) {
    return this.asyncKv.put(key, value);
  }
  getLater(key) {
    return this.asyncKv.get(key);
  }
  closeGroup() {
    return this.asyncDb.close();
  }
  get(key) {
    return this.kv.get(key);
  }
  getMany(keys) {
    return this.kv.getMany(keys);
  }
  scan(visit) {
    for (const [key, value] of this.kv.entries()) visit(key, value);
  }
  scanFrom(key, limit, visit) {
    for (const [k, value] of this.kv.entries({ gte: key, limit })) visit(k, value);
  }
  /** One transaction, all or nothing, larger than any memtable. */
  transaction(keys, count) {
    this.db.transaction((tx) => {
      const kv = tx.kv("kv");
      for (let i = 0; i < count; i++) kv.put(keyAt(keys, i), valueOf(i));
    });
  }
  details() {
    const { writeAmplification, file, counters } = this.db.stats();
    return { writeAmplification, file, counters };
  }
  compact() {
    this.db.compact();
  }
  close() {
    this.db.close();
  }
}

class Lmdb {
  async load(_nacre, require) {
    this.lmdb = require("lmdb");
  }
  open(folder, durable) {
    this.db = this.lmdb.open({
      path: join(folder, "db"), keyEncoding: "binary", encoding: "binary", mapSize: 2 ** 34,
      ...(durable ? { overlappingSync: false } : { noSync: true }),
    });
  }
  putBatch(keys, from, count, first = 0) {
    this.db.transactionSync(() => {
      for (let i = from; i < from + count; i++) this.db.put(keyAt(keys, i), valueOf(first + i));
    });
  }
  transaction(keys, count) {
    this.putBatch(keys, 0, count);
  }
  putDurable(key, value) {
    this.db.putSync(key, value);
  }
  openGroup(folder) {
    this.open(folder, true);
  }
  putLater(key, value) {
    return this.db.put(key, value);
  }
  getLater(key) {
    return this.db.get(key);
  }
  closeGroup() {
    return this.db.close();
  }
  get(key) {
    return this.db.get(key);
  }
  getMany(keys) {
    return this.db.getMany(keys);
  }
  scan(visit) {
    for (const { key, value } of this.db.getRange()) visit(key, value);
  }
  scanFrom(key, limit, visit) {
    for (const row of this.db.getRange({ start: key, limit })) visit(row.key, row.value);
  }
  compact() {}
  close() {
    return this.db.close();
  }
}

const VIEW = { keyEncoding: "view", valueEncoding: "view" };

class Level {
  async load(_nacre, require) {
    this.level = require("classic-level");
  }
  async open(folder, durable) {
    this.sync = durable;
    this.db = new this.level.ClassicLevel(join(folder, "db"), {
      ...VIEW, compression: false, cacheSize: MEMORY, writeBufferSize: 8 * 2 ** 20,
    });
    await this.db.open();
  }
  putBatch(keys, from, count, first = 0) {
    const rows = new Array(count);
    for (let i = 0; i < count; i++) rows[i] = { type: "put", key: keyAt(keys, from + i), value: valueOf(first + from + i) };
    return this.db.batch(rows);
  }
  transaction(keys, count) {
    return this.putBatch(keys, 0, count);
  }
  putDurable(key, value) {
    return this.db.put(key, value, { sync: true });
  }
  openGroup(folder) {
    return this.open(folder, true);
  }
  putLater(key, value) {
    return this.db.put(key, value, { sync: true });
  }
  getLater(key) {
    return this.db.getSync(key);
  }
  closeGroup() {
    return this.db.close();
  }
  get(key) {
    return this.db.getSync(key);
  }
  getMany(keys) {
    return this.db.getMany(keys);
  }
  async scan(visit) {
    const rows = this.db.iterator({ highWaterMarkBytes: 2 ** 18 });
    for (;;) {
      const some = await rows.nextv(1000);
      if (some.length === 0) break;
      for (const [key, value] of some) visit(key, value);
    }
    await rows.close();
  }
  async scanFrom(key, limit, visit) {
    const rows = this.db.iterator({ gte: key, limit });
    for (const [k, value] of await rows.nextv(limit)) visit(k, value);
    await rows.close();
  }
  compact() {
    return this.db.compactRange(Buffer.alloc(0), Buffer.alloc(KEY + 1, 255));
  }
  close() {
    return this.db.close();
  }
}

/**
 * RocksDB through a binding that answers in the calling thread: levels, Bloom filters of 10
 * bits, no compression (the values do not compress), its own log. Flushes and compactions run
 * on threads of its own.
 */
class Rocks {
  async load(_nacre, require) {
    this.rocks = require("@nxtedition/rocksdb");
  }
  async open(folder, durable) {
    this.options = { sync: durable };
    this.db = new this.rocks.RocksLevel(join(folder, "db"), { keyEncoding: "buffer", valueEncoding: "buffer" });
    await this.db.open({
      createIfMissing: true, compression: false, walCompression: false, cacheSize: MEMORY, parallelism: 2,
    });
  }
  putBatch(keys, from, count, first = 0) {
    const batch = this.db._chainedBatch();
    for (let i = from; i < from + count; i++) batch._put(keyAt(keys, i), valueOf(first + i));
    batch._writeSync(this.options);
    batch._closeSync();
  }
  transaction(keys, count) {
    this.putBatch(keys, 0, count);
  }
  putDurable(key, value) {
    const batch = this.db._chainedBatch();
    batch._put(key, value);
    batch._writeSync(this.options);
    batch._closeSync();
  }
  get(key) {
    return this.db._getManySync([key])[0];
  }
  getMany(keys) {
    return this.db._getManySync(keys);
  }
  scan(visit) {
    const rows = this.db._iterator({ keys: true, values: true, limit: -1, highWaterMarkBytes: 2 ** 18, keyEncoding: "buffer", valueEncoding: "buffer" });
    for (let finished = false; !finished;) {
      const some = rows._nextvSync(1000);
      for (let i = 0; i < some.rows.length; i += 2) visit(some.rows[i], some.rows[i + 1]);
      finished = some.finished;
    }
    return new Promise((resolve) => rows._close(resolve));
  }
  scanFrom(key, limit, visit) {
    const { rows } = this.db.querySync({ gte: key, limit, keys: true, values: true, keyEncoding: "buffer", valueEncoding: "buffer" });
    for (let i = 0; i < rows.length; i += 2) visit(rows[i], rows[i + 1]);
  }
  compact() {} // the binding has no call for it
  close() {
    return this.db.close();
  }
}

class Sqlite {
  async load(_nacre, require) {
    this.Database = require("better-sqlite3");
  }
  open(folder, durable) {
    const db = new this.Database(join(folder, "db"));
    db.pragma("journal_mode = WAL");
    db.pragma(`synchronous = ${durable ? "FULL" : "NORMAL"}`); // NORMAL syncs at checkpoints only
    db.pragma(`cache_size = ${-MEMORY / 1024}`);
    db.exec("CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID");
    this.db = db;
    this.insert = db.prepare("INSERT OR REPLACE INTO kv VALUES (?, ?)");
    this.select = db.prepare("SELECT v FROM kv WHERE k = ?").pluck();
    this.all = db.prepare("SELECT k, v FROM kv ORDER BY k").raw();
    this.some = db.prepare("SELECT k, v FROM kv WHERE k >= ? ORDER BY k LIMIT ?").raw();
    this.batch = db.transaction((keys, from, count, first) => {
      for (let i = from; i < from + count; i++) this.insert.run(keyAt(keys, i), valueOf(first + i));
    });
  }
  putBatch(keys, from, count, first = 0) {
    this.batch(keys, from, count, first);
  }
  putDurable(key, value) {
    this.insert.run(key, value);
  }
  get(key) {
    return this.select.get(key);
  }
  scan(visit) {
    for (const [key, value] of this.all.iterate()) visit(key, value);
  }
  scanFrom(key, limit, visit) {
    for (const [k, value] of this.some.all(key, limit)) visit(k, value);
  }
  transaction(keys, count) {
    this.batch(keys, 0, count, 0);
  }
  compact() {
    this.db.exec("VACUUM");
    this.db.pragma("wal_checkpoint(TRUNCATE)");
  }
  close() {
    this.db.close();
  }
}

const ENGINES = { nacre: Nacre, lmdb: Lmdb, level: Level, rocks: Rocks, sqlite: Sqlite };
export const PACKAGES = { lmdb: "lmdb", level: "classic-level", rocks: "@nxtedition/rocksdb", sqlite: "better-sqlite3" };

/** `nacre`: URL of the package's index.js. `peers`: the folder they are installed in. `memory`: bytes of cache. */
export async function engine(name, nacre, peers, memory = MEMORY) {
  MEMORY = memory;
  const made = new ENGINES[name]();
  await made.load(nacre, createRequire(join(peers, "package.json")));
  return made;
}
