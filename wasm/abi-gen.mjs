// Makes js/abi.gen.ts: node wasm/abi-gen.mjs wasm/abi.h HEADER... > js/abi.gen.ts
//
// From all headers: the enumerators, as objects of constants. From abi.h: what ABI(name)
// exports, as the members of one interface. It reads no C but what those headers have:
// enumerators with sums, shifts and products, `#define NAME number`, plain declarations.
import { readFileSync } from "node:fs";

/** Each group: the enumerators of one `typedef enum`, or all that begin with a prefix. */
const GROUPS = [
  { name: "STATUS", of: "nacre_status", cut: "NACRE_" },
  { name: "TYPE", of: "nacre_type", cut: "NACRE_" },
  { name: "MODE", of: "nacre_mode", cut: "NACRE_" },
  { name: "DURABILITY", of: "nacre_durability", cut: "NACRE_" },
  { name: "LOCK", of: "nacre_lock", cut: "NACRE_LOCK_" },
  { name: "KIND", of: "nacre_kind", cut: "NACRE_" },
  { name: "METRIC", of: "nacre_metric", cut: "NACRE_" },
  { name: "ELEMENT", of: "nacre_element", cut: "NACRE_" },
  { name: "COMPRESSION", of: "nacre_compression", cut: "NACRE_" },
  { name: "CHANGE", of: "nacre_change_kind", cut: "NACRE_CHANGE_" },
  { name: "BACKUP", of: "nacre_backup_kind", cut: "NACRE_BACKUP_" },
  { name: "PATH", of: "nacre_search_path", cut: "NACRE_PATH_" },
  { name: "INDEX", of: "SchemaIndex", cut: "SCHEMA_" },
  { name: "ANSWER", prefix: "ANSWER_" },
  { name: "PAGE", prefix: "PAGE_" },
  { name: "INPUT", prefix: "INPUT_" },
  { name: "ABI", prefix: "ABI_" },
  { name: "BATCH", prefix: "BATCH_" },
  { name: "RECORD", prefix: "RECORD_" },
  { name: "KEYCODE", prefix: "KEYCODE_" },
  { name: "FILTER", prefix: "FILTER_" },
  { name: "SCHEMA", prefix: "SCHEMA_" },
  { name: "LIMIT", prefix: "LIMIT_" },
  { name: "LOCK_FILE", prefix: "LOCK_", only: /^LOCK_(TEXT|TOKEN|SHORT|BOOT|HOST|CLAIM|TRIES|WAIT)/ },
];

const [abiFile, ...others] = process.argv.slice(2);
const sources = [abiFile, ...others].map((file) => readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\//g, ""));

const values = new Map(); // enumerator or macro -> number
const owners = new Map(); // enumerator -> name of its typedef

/** The value of `12`, `0x20`, `64 << 10`, `PREVIOUS + 1`, `INT64_C(5)`; undefined for anything else. */
function evaluate(text) {
  const plain = text
    .replace(/U?INT(?:64|32)_C\((\w+)\)/g, "$1")
    .replace(/\b(0x[0-9a-f]+|\d+)u\b/gi, "$1")
    .replace(/<</g, "* 2 **") // JavaScript's own shift has 32 bits
    .replace(/\b[A-Z][A-Z0-9_]*\b/g, (name) => (values.has(name) ? String(values.get(name)) : name));
  return /^[\s0-9a-fx()<+*-]+$/i.test(plain) ? Number(new Function(`return (${plain})`)()) : undefined;
}

for (const source of sources) {
  for (const [, name, text] of source.matchAll(/^#define\s+([A-Z][A-Z0-9_]*)\s+(\S.*)$/gm)) {
    const value = evaluate(text.trim());
    if (value !== undefined) values.set(name, value);
  }
  for (const [, body, typedef] of source.matchAll(/enum\s*\w*\s*\{([^}]*)\}\s*(\w*)/g)) {
    let next = 0;
    for (const item of body.split(",").map((part) => part.trim()).filter(Boolean)) {
      const [name, text] = item.split("=").map((part) => part.trim());
      const value = text === undefined ? next : evaluate(text);
      if (value === undefined) continue; // needs what these headers do not have; nobody here wants it
      values.set(name, value);
      if (typedef) owners.set(name, typedef);
      next = value + 1;
    }
  }
}

const lines = ["// Made by wasm/abi-gen.mjs from wasm/abi.h and the core's headers. Do not edit.", ""];
for (const group of GROUPS) {
  const names = [...values.keys()].filter((name) =>
    group.of ? owners.get(name) === group.of
             : name.startsWith(group.prefix) && !owners.get(name)?.startsWith("nacre_") && (group.only?.test(name) ?? true) &&
               !(group.name === "SCHEMA" && owners.has(name)));
  if (names.length === 0) throw new Error(`abi-gen: nothing for ${group.name}`);
  lines.push(`export const ${group.name} = {`);
  for (const name of names) {
    const key = name.slice((group.cut ?? group.prefix).length);
    lines.push(`  ${/^\d/.test(key) ? `"${key}"` : key}: ${values.get(name)},`);
  }
  lines.push("} as const;", "");
}

const TYPES = { uint32_t: "number", double: "number", void: "void", "AbiHost *": "number" };
function typeOf(text) {
  const type = TYPES[text.trim().replace(/\s+/g, " ")];
  if (!type) throw new Error(`abi-gen: what is "${text}"?`);
  return type;
}
lines.push("/** What the module exports. Addresses come back signed: use `>>> 0`. */", "export interface Exports {");
lines.push("  readonly memory: { readonly buffer: ArrayBuffer };", "  _initialize(): void;");
for (const [, name, result, cName, parameters] of sources[0].matchAll(/ABI\((\w+)\)\s+([\w ]+?\s\*?)(\w+)\(([^)]*)\);/g)) {
  if (name !== cName) throw new Error(`abi-gen: ABI(${name}) exports ${cName}`);
  const list = parameters.trim() === "void" ? [] : parameters.split(",").map((parameter) => {
    const [, type, label] = /^\s*(.*?[\s*])(\w+)\s*$/.exec(parameter.replace(/\s+/g, " "));
    return `${label.replace(/_(\w)/g, (_, letter) => letter.toUpperCase())}: ${typeOf(type)}`;
  });
  lines.push(`  ${name}(${list.join(", ")}): ${typeOf(result)};`);
}
lines.push("}");
process.stdout.write(`${lines.join("\n")}\n`);
