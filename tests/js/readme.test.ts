// The README is true: its snippets are parts of examples or run here, its links lead
// somewhere, its reference lists what there is. Before each snippet a comment says which:
//
//     from: FILE         the lines stand in FILE (the first snippet is the whole of it)
//     run: repository    runs in the repository, but for its calls of make: all is built before tests
//     run: folder        runs in an empty folder, with build on the PATH
//     text               not run: installing, building all, watching
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { describe, test } from "node:test";
import * as nacre from "../../build/js/index.js";
import { LIMIT, STATUS } from "../../build/js/abi.gen.js";

const root = join(import.meta.dirname, "../..");
const read = (file: string): string => readFileSync(join(root, file), "utf8");
const readme = read("README.md");
const snippets = [...readme.matchAll(/(?:<!-- (from|run|text)(?:: ([^ ]+))? -->\n)?```(js|ts|sh|c)\n([\s\S]*?)```\n/g)]
  .map(([, kind, where, language, text]) => ({ kind, where: where ?? "", language, text: text as string, name: (text as string).split("\n")[0] }));

function sh(script: string, cwd: string): string {
  const { env } = process;
  const done = spawnSync("sh", ["-euc", script], {
    cwd, encoding: "utf8", timeout: 300_000, env: { ...env, PATH: `${join(root, "build")}${delimiter}${env.PATH}` },
  });
  assert.equal(done.status, 0, `${script}\n${done.stdout}${done.stderr}`);
  return done.stdout;
}

describe("README", () => {
  test("every snippet says what it is", () => {
    assert.ok(snippets.length > 20);
    assert.equal(snippets.length, readme.match(/^```\w/gm)?.length);
    for (const { kind, name } of snippets) assert.ok(kind !== undefined, name);
  });

  for (const { kind, where, text, name } of snippets) {
    if (kind === "from") test(`${where}: ${name}`, () => assert.ok(read(where).includes(text), `${where} has no such lines:\n${text}`));
    if (kind === "run") {
      test(`run: ${name}`, () => {
        if (where === "repository") return void sh(text.replaceAll(/^make .*$/gm, ""), root);
        const folder = mkdtempSync(join(tmpdir(), "nacre-readme-"));
        try {
          assert.match(sh(text, folder), /^\{"key":"pearl","distance":0\.07.*\nnotes: collection, 1 row.*\nok\n$/);
        } finally {
          rmSync(folder, { recursive: true, force: true });
        }
      });
    }
  }

  test("the first snippet is the whole quickstart", () => {
    const [program, prints = ""] = read("examples/quickstart.mjs").split("\n// Prints:\n");
    assert.equal(snippets[0]?.text, program);
    for (const line of prints.trimEnd().split("\n")) assert.ok(readme.includes(`\`${line.slice(3)}\``), line);
  });

  test("targets of make that it names are there", () => {
    for (const [, target] of readme.matchAll(/(?:^|`)make ([a-z-]+)/gm)) assert.match(read("Makefile"), new RegExp(`^${target}:.*## `, "m"));
  });

  test("links lead somewhere", () => {
    const headings = [...readme.matchAll(/^#+ (.*)$/gm)].map(([, text]) => (text as string).toLowerCase().replaceAll(" ", "-"));
    for (const [, to] of readme.matchAll(/\]\(([^)]+)\)/g)) {
      if (to?.startsWith("#")) assert.ok(headings.includes(to.slice(1)), to);
      else assert.ok(existsSync(join(root, to as string)), to);
    }
  });

  const reference = readme.slice(readme.indexOf("<!-- reference -->"), readme.indexOf("## Limits"));
  for (const name of ["Database", "Kv", "Collection", "Batch", "Transaction", "Snapshot"] as const) {
    test(`reference: ${name} has these methods and no others, and its synchronous twin has them`, () => {
      const row = reference.split("\n").find((line) => line.startsWith(`| \`${name}\` |`)) ?? "";
      const listed = [...(row.split("|")[2] ?? "").matchAll(/`(\w+)`/g)].map(([, method]) => method as string);
      const methods = (of: { prototype: object }): string[] => Object.entries(Object.getOwnPropertyDescriptors(of.prototype))
        .filter(([method, { value }]) => typeof value === "function" && method !== "constructor").map(([method]) => method);
      assert.deepEqual(listed.toSorted(), methods(nacre[name]).toSorted());
      const twin = methods(nacre[`${name}Sync`]);
      const asked = ["storage", "persist"]; // the browser answers later, so only asynchronously
      for (const method of listed) assert.ok(twin.includes(method) || asked.includes(method), `${name}Sync.${method}`);
    });
  }

  test("error codes are statuses", () => {
    const codes = /with a stable `code`[^`]*`([A-Z_ ]+)`/.exec(readme)?.[1]?.split(" ") ?? [];
    assert.ok(codes.length > 10);
    for (const code of codes) assert.ok(code in STATUS, code);
  });

  test("limits are those of the table", () => {
    const limits = readme.slice(readme.indexOf("## Limits"), readme.indexOf("## Formats"));
    for (const [what, value] of [
      ["key", `${LIMIT.KEY_SIZE >> 10} KiB`], ["value, or", `${LIMIT.VALUE_SIZE >> 20} MiB`], ["name of", `${LIMIT.NAME_SIZE} bytes`],
      ["dimensions", String(LIMIT.DIMENSIONS).replace("16384", "16 384")], ["hits", String(LIMIT.K).replace("10000", "10 000")],
    ] as const) assert.match(limits, new RegExp(`^\\| ${what}[^|]*\\| ${value} \\|$`, "m"));
  });
});
