// fields_format.h and index_format.h: what a segment has of indexed fields beside its rows.
import { Reader, compare, equal, expect } from "./bytes.ts";
import type { Value } from "./keycode.ts";
import type { SegmentRef } from "./manifest.ts";
import type { Row } from "./record.ts";
import type { Schema, Type } from "./schema.ts";
import { xxh3 } from "./xxh3.ts";

const STREAM_FIELDS = 4;
const PAGE = 8192;
const VALUE_SIZE = 64;

/** An indexed field of a section: of each of its rows that is no deletion the value, in their order. */
export interface FieldEntry {
  membrane: number;
  column: number;
  pages: number;
  rows: Row[];
  values: (Uint8Array | null)[];
}

function seedOf(segment: bigint, number: bigint): bigint {
  return BigInt.asUintN(64, segment * 0x9e3779b97f4a7c15n + (BigInt(STREAM_FIELDS) << 56n) + number + 1n);
}

const order = (a: Uint8Array | null, b: Uint8Array | null): number => a === null || b === null ? Number(a !== null) - Number(b !== null) : compare(a, b);

function readPage(page: Uint8Array, number: number, ref: SegmentRef, entry: FieldEntry, last: { value?: Uint8Array | null }): void {
  const head = new Reader(page);
  expect(head.u64() === xxh3(page.subarray(8), seedOf(ref.id, BigInt(number))), "fields: checksum of a page");
  const used = head.u16();
  head.zeros(6, "fields: head of a page");
  expect(used > 16 && used <= PAGE, "fields: used");
  new Reader(page, used).zeros(PAGE - used, "fields: behind the last group");
  const r = new Reader(page.subarray(0, used), 16);
  for (let first = true; r.left > 0; first = false) {
    const size = r.u8();
    const value = size === 255 ? null : r.take(size).slice();
    expect(value === null || value.length <= VALUE_SIZE + 1, "fields: size of a value");
    const rises = last.value === undefined ? -1 : order(last.value, value);
    expect(first ? rises <= 0 : rises < 0, "fields: values rise");
    const count = r.u16(), numbers = new Reader(r.take(r.u16()));
    let row = 0;
    expect(count > 0, "fields: an empty group");
    for (let i = 0; i < count; i++) {
      let above = 0, shift = 0, byte;
      do above += ((byte = numbers.u8()) & 127) * 2 ** (7 * shift++); while (byte & 128);
      expect(i === 0 || above > 0, "fields: numbers rise");
      row += above;
      expect(row < entry.rows.length && entry.values[row] === undefined, "fields: each row once");
      entry.values[row] = value;
    }
    numbers.end("fields: numbers");
    last.value = value;
  }
}

/** Every byte of the stream; `begins`: the number of the row that each block begins with. */
export function readFields(stream: Uint8Array, ref: SegmentRef, rows: Row[], begins: number[]): FieldEntry[] {
  if (stream.length === 0) return [];
  const tail = new Reader(stream, stream.length - 16);
  const [count, blocks] = [tail.u32(), tail.u32()];
  const start = stream.length - 16 - 24 * count - 4 * blocks;
  expect(tail.u64() === xxh3(stream.subarray(start, stream.length - 8), seedOf(ref.id, 1n << 40n)), "fields: checksum of the directory");
  const living = rows.filter((row) => !row.deleted), r = new Reader(stream, start);
  const membraneOf = (row: Row): number => new Reader(row.key).u32be();
  let page = 0, place = -1;
  const entries = Array.from({ length: count }, (): FieldEntry => {
    const [membrane, column] = [r.u32(), r.u16()];
    r.zeros(2, "fields: an entry");
    const [firstPage, pages, first, rowCount] = [r.u32(), r.u32(), r.u32(), r.u32()];
    const entry: FieldEntry = { membrane, column, pages, rows: living.slice(first, first + rowCount), values: [] };
    expect(membrane * 65536 + column > place && firstPage === page && pages > 0 && rowCount > 0, "fields: an entry");
    expect(first === living.findIndex((row) => membraneOf(row) === membrane), "fields: first row of a section");
    expect(rowCount === living.filter((row) => membraneOf(row) === membrane).length, "fields: rows of a section");
    place = membrane * 65536 + column;
    entry.values = new Array<Uint8Array | null>(rowCount);
    const last = {};
    for (; page < firstPage + pages; page++) readPage(stream.subarray(page * PAGE, (page + 1) * PAGE), page, ref, entry, last);
    for (const value of entry.values) expect(value !== undefined, "fields: each row");
    return entry;
  });
  expect(page * PAGE === start && blocks === begins.length, "fields: every byte");
  for (const begin of begins) expect(r.u32() === begin, "fields: numbers of blocks");
  return entries;
}

/** What index_format.h makes of a value. */
function encode(value: Value, type: Type): Uint8Array | null {
  if (value === null) return null;
  if (type === "boolean") return Uint8Array.of(Number(value));
  if (type === "text" || type === "bytes") return (type === "text" ? new TextEncoder().encode(value as string) : value as Uint8Array).subarray(0, VALUE_SIZE + 1);
  const bits = new DataView(new ArrayBuffer(8));
  if (type === "real") bits.setFloat64(0, (value as number) || 0);
  else bits.setBigInt64(0, value as bigint);
  const code = bits.getBigUint64(0), sign = 1n << 63n;
  bits.setBigUint64(0, type === "real" && code & sign ? BigInt.asUintN(64, ~code) : code ^ sign);
  return new Uint8Array(bits.buffer);
}

/** Are the values those of the rows? */
export function checkFields(entries: FieldEntry[], membrane: number, schema: Schema, fieldsOf: (row: Row) => Value[]): void {
  const columns = schema.fields.flatMap(({ indexed }, column) => indexed ? [column] : []);
  const here = entries.filter((entry) => entry.membrane === membrane);
  expect(here.length === 0 || (here.length === columns.length && here.every(({ column }, i) => column === columns[i])), "fields: all that are indexed, or none");
  for (const { rows, values, column } of here) {
    rows.forEach((row, i) => {
      const want = encode(fieldsOf(row)[column]!, schema.fields[column]!.type), got = values[i]!;
      expect(want === null || got === null ? want === got : equal(want, got), () => `fields: row ${i} of column ${column}`);
    });
  }
}
