// What of the core the tests have run, by branches: a table by file, and whether each reaches
// its floor (floors.txt).
//
//     node report.mjs LLVM-COV PROFILE PROGRAM...           the table; fails below a floor
//     MISSING=core/log node report.mjs ...                  and each side that was not taken
//
// 1. A branch has two sides. What a macro tests counts where the macro is used.
// 2. What ASSERT tests does not count: the other side would be a bug of ours. Nor do constants
//    (`while (0)`), nor that TRY goes on after what can only be a failure.
// 3. Sides that nothing can reach are marked in the source, with the reason, at the end of the
//    line or alone on the line above, where they do not count:
//
//        if (id == 0) return false; /* unreachable: ids begin at 1 (catalog_create) */
//
//    A mark on a line where every side was taken is an error: it says what is not so.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { relative } from "node:path";

const [tool, profile, ...programs] = process.argv.slice(2);
const missing = process.env.MISSING;
const EXPANSION = 1; // kind of a region

const sources = new Map();
/** The lines of a file, which of them are marked, and where its assertions are. */
function source(path) {
  let known = sources.get(path);
  if (known === undefined) {
    const text = readFileSync(path, "utf8"), lines = text.split("\n"), marks = new Map();
    lines.forEach((line, i) => {
      if (!line.includes("/* unreachable: ")) return;
      let at = i + 1;
      if (line.trim().startsWith("/* unreachable: ")) {
        while (!lines[at - 1].includes("*/")) at++;
        at++;
      }
      marks.set(at, false); // whether something there was not taken
    });
    sources.set(path, known = { lines, marks, asserts: assertions(text, lines) });
  }
  return known;
}

const sourceOf = (absolute) => relative(".", absolute).startsWith("core/") ? source(relative(".", absolute)) : undefined;

/** Ranges of ASSERT(...), as [line, column] of their beginning and end, both included. */
function assertions(text, lines) {
  const starts = [0], ranges = [];
  for (const line of lines) starts.push(starts.at(-1) + line.length + 1);
  const place = (offset) => {
    const line = starts.findIndex((start) => start > offset);
    return [line, offset - starts[line - 1] + 1];
  };
  for (const found of text.matchAll(/\bASSERT\(/g)) {
    let end = found.index + found[0].length, depth = 1;
    for (; depth > 0 && end < text.length; end++) depth += text[end] === "(" ? 1 : text[end] === ")" ? -1 : 0;
    ranges.push([place(found.index), place(end)]);
  }
  return ranges;
}

const before = (a, b) => a[0] < b[0] || (a[0] === b[0] && a[1] <= b[1]);
const asserted = (path, at) => source(path).asserts.some(([from, to]) => before(from, at) && before(at, to));

/** Each branch by where it is in the text: taken, and not taken, in all programs and copies. */
function branches() {
  const args = ["export", "-format=text", "-ignore-filename-regex=(tests|build)/", `-instr-profile=${profile}`,
    programs[0], ...programs.slice(1).flatMap((program) => ["-object", program])];
  const { data: [{ functions }] } = JSON.parse(execFileSync(tool, args, { maxBuffer: 1 << 30, encoding: "utf8" }));
  const found = new Map();
  for (const { filenames, regions, branches } of functions) {
    const uses = new Map(regions.filter((r) => r[7] === EXPANSION).map((r) => [r[6], r]));
    for (const [line, column, lineEnd, columnEnd, yes, no, file] of branches) {
      const tested = sourceOf(filenames[file])?.lines[line - 1].slice(column - 1, line === lineEnd ? columnEnd - 1 : undefined);
      if (tested !== undefined && /^(0|1|true|false)$/.test(tested)) continue;
      let place = [line, column, file];
      for (let use = uses.get(file); use !== undefined; use = uses.get(use[5])) place = [use[0], use[1], use[5]];
      const path = relative(".", filenames[place[2]]);
      if (path.startsWith("..") || !path.startsWith("core/")) continue;
      const key = `${path}:${place[0]}:${place[1]}:${file === place[2] ? "" : `${line}:${column}`}`;
      const known = found.get(key) ?? { path, line: place[0], column: place[1], yes: 0, no: 0 };
      const refusal = /^TRY(_OUT)?\(((env_fail\w*|\w+_damage|\w+_corrupt|\w+_fail)\(|NACRE_)/.test(source(path).lines[place[0] - 1].slice(place[1] - 1));
      known.yes += yes;
      known.no += refusal ? 1 : no;
      found.set(key, known);
    }
  }
  return [...found.values()].filter(({ path, line, column }) => !asserted(path, [line, column]));
}

const files = new Map();
for (const branch of branches()) {
  const file = files.get(branch.path) ?? { sides: 0, taken: 0, marked: 0, open: [] };
  files.set(branch.path, file);
  const { marks } = source(branch.path);
  for (const side of ["yes", "no"]) {
    if (branch[side] > 0) {
      file.sides++;
      file.taken++;
    } else if (marks.has(branch.line)) {
      marks.set(branch.line, true);
      file.marked++;
    } else {
      file.sides++;
      file.open.push({ ...branch, side });
    }
  }
}

const percent = ({ taken, sides }) => sides === 0 ? 100 : 100 * taken / sides;
const row = (name, sum) => console.log(`${name.padEnd(32)}${String(sum.sides).padStart(6)}${String(sum.taken).padStart(8)}${String(sum.marked).padStart(8)}${percent(sum).toFixed(1).padStart(8)} %`);

let failed = false;
console.log(`${"file".padEnd(32)} sides   taken  marked`);
const folders = new Map(), all = { sides: 0, taken: 0, marked: 0 };
for (const [path, file] of [...files].sort(([a], [b]) => a < b ? -1 : 1)) {
  row(path, file);
  const folder = path.replace(/\/[^/]*$/, ""), sum = folders.get(folder) ?? { sides: 0, taken: 0, marked: 0 };
  folders.set(folder, sum);
  for (const what of ["sides", "taken", "marked"]) {
    sum[what] += file[what];
    all[what] += file[what];
  }
}
console.log("");
for (const [folder, sum] of folders) row(folder, sum);
row("core", all);

/** Each line: a file, a folder, or core; and the percentage that it must reach. */
for (const line of readFileSync(new URL("floors.txt", import.meta.url), "utf8").split("\n")) {
  const [path, floor] = line.replace(/#.*/, "").trim().split(/\s+/);
  if (!path) continue;
  const sum = files.get(path) ?? folders.get(path) ?? (path === "core" ? all : undefined);
  if (sum !== undefined && percent(sum) >= Number(floor)) continue;
  console.log(sum === undefined ? `floors.txt: there is no ${path}` : `${path}: below its floor of ${floor} %`);
  failed = true;
}
for (const [path, { marks }] of sources) {
  for (const [line, used] of marks) {
    if (used) continue;
    console.log(`${path}:${line}: marked as unreachable, and reached`);
    failed = true;
  }
}
if (missing !== undefined) {
  for (const [path, { open }] of files) {
    if (!path.startsWith(missing)) continue;
    for (const { line, column, side } of open) {
      console.log(`${path}:${line}:${column}: never ${side === "yes" ? "true" : "false"}: ${source(path).lines[line - 1].trim()}`);
    }
  }
}
process.exitCode = failed ? 1 : 0;
