// The collection of the demo: its schema, and a package as one of its records.
import { readPackages, readVectors } from "../data/read.mjs";

export const COLLECTION = "packages";
export const BATCH = 50;

export const SCHEMA = {
  key: "text",
  vector: { dimensions: 384, metric: "cosine" },
  fields: { title: "text", text: "text", section: "text", installed_kib: "integer", tags: "json" },
};

/** All packages as records, in the order of the data. */
export function readRecords() {
  const vectors = readVectors();
  return readPackages().map(({ name, title, text, section, installed_kib, tags }, i) => (
    { key: name, vector: vectors[i], title, text, section, installed_kib, tags }));
}
