// Is what several readers and writers saw snapshot isolation? A checker that knows nothing of
// the database: it is given a history, and judges it by its own reading of the rules.
//
// A history is what each transaction did, in its order, between two stamps of one clock. A plain
// write is a transaction that begins and commits at once, a snapshot one that only reads. Each
// write has a number of its own, so a value that is read says who wrote it.
//
// Snapshot isolation, by the clock:
//   1. A read sees the transaction's own last write of the key; else the newest version that was
//      committed before the transaction began.
//   2. The first to commit wins: a transaction commits when, and only when, each row that it has
//      written is at its commit what it was at its beginning. (A row that was deleted and was
//      absent before is what it was: no conflict.)
// The other rules follow from these. They are asked by themselves, from the values that were
// read alone, so that a history has to be wrong in one way only to be refused, and is told why:
//   3. G1a: nothing is read that was rolled back, undone, or never written.
//   4. G1b: nothing is read that its transaction overwrote before its commit.
//   5. G1c: no circle of transactions each of which overwrites or reads what the one before wrote.
//   6. No lost update: who has read a row and writes it overwrites the version that was read.
//   7. Nothing fractured: of another transaction all is seen, or nothing.
//   8. G-single: no circle as in 5 with one step where a row is read and then overwritten by the
//      next. (With two such steps it is write skew, which snapshots allow.)
// In 5 and 8, who puts a row that is absent overwrites nobody's: see 2.

/** `saw` and `id` are the number of a write; ABSENT: no row, or a deletion. */
export const ABSENT = 0;
export type Op =
  | { readonly read: string; readonly saw: number }
  | { readonly write: string; readonly id: number }
  | { readonly savepoint: "begin" | "keep" | "undo" }; // nested ones end in reverse order

export interface Transaction {
  readonly name: string;
  /** What was committed before it is what it sees. */
  readonly begin: number;
  /** When it ended; Infinity: it has not. */
  readonly end: number;
  readonly outcome: "committed" | "conflict" | "rolled back" | "open";
  readonly ops: readonly Op[];
}

export type Rule = "malformed" | "own writes" | "snapshot" | "first committer wins" | "false conflict"
  | "G1a" | "G1b" | "G1c" | "lost update" | "fractured read" | "G-single";
export interface Violation {
  readonly rule: Rule;
  readonly text: string;
}

/** One committed state of a key. */
interface Version {
  readonly id: number;
  readonly at: number;
  /** Undefined: before everything. */
  readonly by: Transaction | undefined;
}

/** What a transaction comes to. */
interface Summary {
  readonly of: Transaction;
  /** What it wrote last, of what was not undone. */
  readonly writes: Map<string, number>;
  /** Reads that its own writes did not answer. */
  readonly reads: { readonly key: string; readonly saw: number }[];
}

interface Written {
  readonly by: Transaction;
  readonly key: string;
  /** Whether it is what the transaction committed. */
  last: boolean;
}

/** What is wrong with a history; nothing, when it is snapshot isolation. */
export function violations(history: readonly Transaction[]): Violation[] {
  return new Checker(history).run();
}

class Checker {
  readonly #history: readonly Transaction[];
  readonly #found: Violation[] = [];
  readonly #summaries: Summary[] = [];
  readonly #written = new Map<number, Written>();
  readonly #versions = new Map<string, Version[]>();

  constructor(history: readonly Transaction[]) {
    this.#history = history;
  }

  run(): Violation[] {
    const stamps = new Set<number>();
    for (const t of this.#history) {
      for (const stamp of t.end === Infinity ? [t.begin] : [t.begin, t.end]) {
        if (stamps.has(stamp)) this.#say("malformed", `${t.name}: another one has its stamp ${stamp}`);
        stamps.add(stamp);
      }
      if (!(t.begin < t.end)) this.#say("malformed", `${t.name} ends before it begins`);
      this.#summaries.push(this.#summarize(t));
    }
    this.#order();
    for (const s of this.#summaries) {
      this.#checkReads(s);
      this.#checkOutcome(s);
      this.#checkFractures(s);
    }
    this.#checkCircles();
    return this.#found;
  }

  #say(rule: Rule, text: string): void {
    this.#found.push({ rule, text });
  }

  /** Goes through what it did, with its own writes beside. */
  #summarize(t: Transaction): Summary {
    const reads: { key: string; saw: number }[] = [];
    const saved: Map<string, number>[] = [];
    let own = new Map<string, number>();
    for (const op of t.ops) {
      if ("read" in op) {
        const mine = own.get(op.read);
        if (mine === undefined) reads.push({ key: op.read, saw: op.saw });
        else if (mine !== op.saw) this.#say("own writes", `${t.name} has written ${op.read} = ${mine}, and reads ${op.saw}`);
      } else if ("write" in op) {
        own.set(op.write, op.id);
        if (op.id === ABSENT) continue;
        if (this.#written.has(op.id)) this.#say("malformed", `${op.id} is written twice`);
        this.#written.set(op.id, { by: t, key: op.write, last: false });
      } else if (op.savepoint === "begin") {
        saved.push(new Map(own));
      } else {
        const before = saved.pop();
        if (before === undefined) this.#say("malformed", `${t.name} ends a savepoint that it has not begun`);
        else if (op.savepoint === "undo") own = before;
      }
    }
    for (const id of own.values()) {
      const written = this.#written.get(id);
      if (written !== undefined) written.last = true;
    }
    return { of: t, writes: own, reads };
  }

  /** The versions of each key, in the order of their commits. */
  #order(): void {
    const commits = this.#summaries.filter((s) => s.of.outcome === "committed").sort((a, b) => a.of.end - b.of.end);
    for (const { of, writes } of commits) {
      for (const [key, id] of writes) this.#of(key).push({ id, at: of.end, by: of });
    }
  }

  #of(key: string): Version[] {
    let versions = this.#versions.get(key);
    if (versions === undefined) this.#versions.set(key, versions = [{ id: ABSENT, at: -Infinity, by: undefined }]);
    return versions;
  }

  /** Index of the newest version of a key that was committed before a stamp. */
  #before(key: string, stamp: number): number {
    const versions = this.#of(key);
    let index = versions.length - 1;
    while ((versions[index] as Version).at >= stamp) index--;
    return index;
  }

  /** Index of the version that a read saw; undefined when it is none. */
  #seen(key: string, saw: number, begin: number): number | undefined {
    const versions = this.#of(key);
    if (saw !== ABSENT) {
      const index = versions.findIndex((v) => v.id === saw);
      return index < 0 ? undefined : index;
    }
    let index = this.#before(key, begin); // deletions have no numbers: the newest that it may have been
    while ((versions[index] as Version).id !== ABSENT) index--;
    return index;
  }

  #checkReads({ of, reads }: Summary): void {
    for (const { key, saw } of reads) {
      const expected = this.#of(key)[this.#before(key, of.begin)] as Version;
      if (saw !== expected.id) {
        this.#say("snapshot", `${of.name} began at ${of.begin}, when ${key} was ${expected.id}, and reads ${saw}`);
      }
      if (saw === ABSENT) continue;
      const from = this.#written.get(saw);
      if (from === undefined || from.key !== key || from.by.outcome !== "committed") {
        this.#say("G1a", `${of.name} reads ${key} = ${saw}, which ${from === undefined ? "nobody has" : `${from.by.name} (${from.by.outcome}) has`} written there`);
      } else if (!from.last) {
        this.#say("G1b", `${of.name} reads ${key} = ${saw}, which ${from.by.name} did not leave there`);
      }
    }
  }

  #checkOutcome({ of, writes, reads }: Summary): void {
    if (of.outcome === "rolled back" || of.outcome === "open") return;
    const changed: string[] = [];
    for (const key of writes.keys()) {
      const versions = this.#of(key);
      const then = versions[this.#before(key, of.begin)] as Version, now = versions[this.#before(key, of.end)] as Version;
      if (then.id !== now.id) changed.push(`${key}, ${then.id} at its beginning, was ${now.id} at its end`);
      const read = reads.find((r) => r.key === key);
      if (of.outcome === "committed" && read !== undefined && read.saw !== now.id) {
        this.#say("lost update", `${of.name} has read ${key} = ${read.saw}, and overwrites ${now.id}`);
      }
    }
    if (of.outcome === "committed" && changed.length > 0) this.#say("first committer wins", `${of.name} was committed: ${changed[0]}`);
    if (of.outcome === "conflict" && changed.length === 0) this.#say("false conflict", `${of.name} was refused, and none of its rows had changed`);
  }

  #checkFractures({ of, reads }: Summary): void {
    const newest = new Map<Transaction, string>(); // whom it has seen, by what
    for (const { key, saw } of reads) {
      const by = this.#written.get(saw)?.by;
      if (by !== undefined && by !== of && by.outcome === "committed") newest.set(by, key);
    }
    for (const { key, saw } of reads) {
      const index = this.#seen(key, saw, of.begin);
      if (index === undefined) continue;
      for (const later of this.#of(key).slice(index + 1)) {
        const other = later.by === undefined ? undefined : newest.get(later.by);
        if (other !== undefined) this.#say("fractured read", `${of.name} sees ${later.by?.name} in ${other}, and not in ${key}`);
      }
    }
  }

  /** Rules 5 and 8, over the transactions that were committed, or only read. */
  #checkCircles(): void {
    const after = new Map<Transaction, Set<Transaction>>(); // overwrites or reads what it wrote
    const overwritten: [Transaction, Transaction][] = []; // has read what the other overwrote
    const follow = (first: Transaction | undefined, second: Transaction | undefined): void => {
      if (first === undefined || second === undefined || first === second) return;
      let set = after.get(first);
      if (set === undefined) after.set(first, set = new Set());
      set.add(second);
    };
    for (const versions of this.#versions.values()) {
      versions.forEach((version, i) => {
        const before = versions[i - 1];
        if (before !== undefined && before.id !== ABSENT) follow(before.by, version.by);
      });
    }
    for (const { of, reads, writes } of this.#summaries) {
      if (of.outcome !== "committed" && writes.size > 0) continue;
      for (const { key, saw } of reads) {
        const index = this.#seen(key, saw, of.begin);
        if (index === undefined) continue;
        const next = this.#of(key)[index + 1]?.by;
        follow((this.#of(key)[index] as Version).by, of);
        if (next !== undefined && next !== of) overwritten.push([of, next]);
      }
    }
    for (const t of after.keys()) {
      if (reaches(after, t, t)) this.#say("G1c", `${t.name} comes after itself`);
    }
    for (const [reader, next] of overwritten) {
      if (reaches(after, next, reader)) this.#say("G-single", `${reader.name} comes after ${next.name}, which overwrites what it has read`);
    }
  }
}

/** Is there a way of at least one step? */
function reaches(after: ReadonlyMap<Transaction, ReadonlySet<Transaction>>, from: Transaction, to: Transaction): boolean {
  const met = new Set<Transaction>(), open = [from];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    for (const next of after.get(at) ?? []) {
      if (next === to) return true;
      if (!met.has(next)) open.push(next);
      met.add(next);
    }
  }
  return false;
}
