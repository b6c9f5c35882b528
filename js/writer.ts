import { BATCH, RECORD } from "./abi.gen.ts";
import { NacreError } from "./errors.ts";

/**
 * Bytes that grow: batches and records in the form of record_format.h, on their way to the
 * module. Encoding ends before anything is reserved there, because what is encoded may run
 * the caller's code (iterators, getters), and that may call the database.
 */
export class Writer {
  bytes: Uint8Array<ArrayBuffer>;
  at = 0;
  #words: Uint32Array;
  #batch = 0;
  #count = 0;

  constructor(size = 4096) {
    this.bytes = new Uint8Array(size);
    this.#words = new Uint32Array(this.bytes.buffer);
  }

  /** Makes room for `size` more bytes. */
  ensure(size: number): void {
    const wanted = this.at + size;
    if (wanted <= this.bytes.length) return;
    const grown = Writer.#allocate(Math.max(2 * this.bytes.length, Math.ceil(wanted / 4096) * 4096), wanted);
    grown.set(this.bytes.subarray(0, this.at));
    this.bytes = grown;
    this.#words = new Uint32Array(grown.buffer);
  }

  static #allocate(size: number, wanted: number): Uint8Array<ArrayBuffer> {
    try {
      return new Uint8Array(size);
    } catch (error) {
      const least = Math.ceil(wanted / 4) * 4;
      if (size > least) return Writer.#allocate(least, wanted);
      throw new NacreError("RESOURCE_EXHAUSTED", `memory: no room for a batch of ${wanted} bytes`, { cause: error });
    }
  }

  /** Records put so far into the batch that is being made. */
  get count(): number {
    return this.#count;
  }

  batchBegin(): void {
    this.ensure(BATCH.HEAD);
    this.#batch = this.at;
    this.#count = 0;
    this.at += BATCH.HEAD;
  }

  /** Begins with a batch that was made elsewhere; it can go on, and ends with `batchEnd`. */
  load(batch: Uint8Array): void {
    this.ensure(batch.length);
    this.bytes.set(batch, this.at);
    this.#batch = this.at;
    this.at += batch.length;
    this.#count = this.#words[(this.#batch >>> 2) + 1] as number;
  }

  /** Writes the head of the batch: its size, count, and 0 for the number it gets later. */
  batchEnd(): void {
    const word = this.#batch >>> 2;
    this.#words[word] = this.at - this.#batch;
    this.#words[word + 1] = this.#count;
    this.#words[word + 2] = 0;
    this.#words[word + 3] = 0;
  }

  /**
   * Begins a record with room for `room` bytes of key and value, and writes the membrane's
   * number. The key follows at `at`.
   */
  recordBegin(room: number, membrane: number): number {
    this.ensure(RECORD.HEAD + 4 + room + 4);
    const start = this.at;
    const at = start + RECORD.HEAD;
    this.bytes[at] = membrane >>> 24;
    this.bytes[at + 1] = membrane >>> 16;
    this.bytes[at + 2] = membrane >>> 8;
    this.bytes[at + 3] = membrane;
    this.at = at + 4;
    return start;
  }

  /** Ends the record that began at `start`: its key ends at `keyEnd`, its value at `end`. */
  recordEnd(start: number, keyEnd: number, end: number, flags: number): void {
    const word = start >>> 2;
    const words = this.#words;
    words[word] = (keyEnd - start - RECORD.HEAD) | (flags << 24);
    words[word + 1] = end - keyEnd;
    words[word + 2] = 0;
    words[word + 3] = 0;
    const bytes = this.bytes;
    while ((end & 3) !== 0) bytes[end++] = 0;
    this.at = end;
    this.#count++;
  }

  /** Where the batch stands, for `reset`. */
  mark(): { at: number; count: number } {
    return { at: this.at, count: this.#count };
  }

  reset({ at, count }: { at: number; count: number }): void {
    this.at = at;
    this.#count = count;
  }

  /** Appends another's bytes. */
  append(other: Writer): void {
    this.ensure(other.at);
    this.bytes.set(other.bytes.subarray(0, other.at), this.at);
    this.at += other.at;
  }

  /** Appends the records of another's batch to those that stand here without a head. */
  appendRecords(other: Writer): void {
    const size = other.at - BATCH.HEAD;
    this.ensure(size);
    this.bytes.set(other.bytes.subarray(BATCH.HEAD, other.at), this.at);
    this.at += size;
    this.#count += other.#count;
  }

  /** The records of its batch in pieces of at most `size` bytes, or of one record. */
  *slices(size: number): Generator<{ start: number; end: number; count: number }, void, undefined> {
    const words = this.#words;
    let start: number = BATCH.HEAD, end = start, count = 0;
    while (end < this.at) {
      const word = end >>> 2;
      const keySize = (words[word] as number) & RECORD.KEY_SIZE_MAX, valueSize = words[word + 1] as number;
      const next = end + ((RECORD.HEAD + keySize + valueSize + 3) & ~3);
      if (count > 0 && next - start > size) {
        yield { start, end, count };
        start = end;
        count = 0;
      }
      end = next;
      count++;
    }
    if (count > 0) yield { start, end, count };
  }

  clear(): void {
    this.at = 0;
    this.#count = 0;
  }
}

/** Writers to be used again. */
export class Writers {
  static readonly KEEP_MAX = 1 << 20;
  readonly #free: Writer[] = [];

  take(): Writer {
    return this.#free.pop() ?? new Writer(64 * 1024);
  }

  give(writer: Writer): void {
    writer.clear();
    if (writer.bytes.length <= Writers.KEEP_MAX && this.#free.length < 4) this.#free.push(writer);
  }
}
