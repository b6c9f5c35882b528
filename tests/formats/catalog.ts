// catalog_format.h
import { Reader, expect, utf8 } from "./bytes.ts";
import type { Row } from "./record.ts";
import { readSchema } from "./schema.ts";
import type { Schema } from "./schema.ts";

export interface Membrane {
  id: number;
  name: string;
  schema: Schema;
}

export interface Catalog {
  next: number;
  membranes: Membrane[]; // by name
  dropped: number[];
}

/** From the living rows of membrane 0, in their order. */
export function readCatalog(rows: readonly Row[]): Catalog {
  const catalog: Catalog = { next: 1, membranes: [], dropped: [] };
  for (const row of rows) {
    const key = new Reader(row.key, 4);
    const value = new Reader(row.value);
    const kind = key.u8();
    if (kind === 1) {
      catalog.next = value.u32();
    } else if (kind === 2) {
      const name = utf8(key.take(key.left - 1));
      key.zeros(1, "catalog: end of a name");
      expect(name.length > 0 && !/[\u0000-\u001f\u007f-\u009f/\\]/.test(name), "catalog: name");
      catalog.membranes.push({ name, id: value.u32(), schema: readSchema(value.take(value.left)) });
    } else if (kind === 4) {
      key.take(16 + 8);
      expect(value.take(value.left).length <= 65536, "catalog: a token");
    } else {
      expect(kind === 3, () => `catalog: key ${kind}`);
      catalog.dropped.push(key.u32be());
    }
    key.end("catalog: key");
    value.end("catalog: value");
  }
  const ids = [...catalog.membranes.map((membrane) => membrane.id), ...catalog.dropped];
  expect(new Set(ids).size === ids.length && ids.every((id) => id > 0 && id < catalog.next), "catalog: ids");
  return catalog;
}
