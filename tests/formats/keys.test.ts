// C15: the two codecs of keys, in C and in TypeScript, give the same bytes for the same key,
// and the order of the bytes is that of the keys.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { compareBytes, KeyCodec } from "../../js/keys.ts";
import type { KeyPart, KeyType } from "../../js/keys.ts";
import { BUILD } from "./lib.ts";

// NACRE_KEYS asks for another number (make keys-long: ten million).
const COUNT = process.env["NACRE_KEYS"] ?? "100000", SEED = process.env["NACRE_SEED"] ?? "20261121";

const bits = new DataView(new ArrayBuffer(8));

function value(type: string, text: string): KeyPart {
  switch (type) {
    case "integer": {
      const integer = BigInt(text);
      return integer >= BigInt(Number.MIN_SAFE_INTEGER) && integer <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(integer) : integer;
    }
    case "bigint": return BigInt(text);
    case "boolean": return text === "1";
    case "timestamp": return new Date(Number(text));
    case "text": return Buffer.from(text, "hex").toString("utf8");
    case "bytes": return Uint8Array.from(Buffer.from(text, "hex"));
  }
  bits.setBigUint64(0, BigInt(text));
  return bits.getFloat64(0);
}

function compareParts(a: KeyPart, b: KeyPart): number {
  if (typeof a === "string" && typeof b === "string") return Buffer.compare(Buffer.from(a), Buffer.from(b));
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b);
  return a < b ? -1 : a > b ? 1 : 0;
}

test(`c15: ${COUNT} random keys have the same bytes in C and in TypeScript, in the order of the keys`, async () => {
  const tool = spawn(join(BUILD, "formats/key_vectors"), [COUNT, SEED], { stdio: ["ignore", "pipe", "inherit"] });
  const exit = once(tool, "exit"), codecs = new Map<string, KeyCodec>();
  const before = new Map<string, { key: KeyPart[]; bytes: Uint8Array }>(); // of each shape the last key
  let count = 0;
  for await (const line of createInterface({ input: tool.stdout })) {
    const [left, hex] = line.split("= ") as [string, string];
    const parts = left.trim().split(" ").map((part) => part.split(":") as [string, string]);
    const shape = parts.map(([type]) => type).join(), key = parts.map(([type, text]) => value(type, text));
    let codec = codecs.get(shape);
    if (codec === undefined) codecs.set(shape, codec = new KeyCodec(shape.split(",") as KeyType[], () => "test"));
    const bytes = codec.encoded(key as never);
    if (Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex") !== hex) assert.fail(`${line}, and not ${Buffer.from(bytes).toString("hex")}`);
    const last = before.get(shape);
    if (last !== undefined) {
      const order = last.key.map((part, i) => compareParts(part, key[i] as KeyPart)).find((part) => part !== 0) ?? 0;
      if (Math.sign(compareBytes(last.bytes, bytes)) !== Math.sign(order)) assert.fail(`${line} is not in order with ${String(last.key)}`);
    }
    before.set(shape, { key, bytes: bytes.slice() });
    count++;
  }
  assert.deepEqual(await exit, [0, null]);
  assert.equal(count, Number(COUNT));
  assert.equal(codecs.size, 7 + 49 + 343);
});
