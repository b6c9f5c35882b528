// Every example runs in an empty folder and prints what its last lines say.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { open } from "../../build/js/index.js";

const root = join(import.meta.dirname, "../..");
const examples = join(root, "examples");
const folder = (): string => {
  const path = mkdtempSync(join(tmpdir(), "nacre-example-"));
  after(() => rmSync(path, { recursive: true, force: true }));
  return path;
};

function run(cwd: string, command: string, ...args: string[]): string {
  const done = spawnSync(command, args, { cwd, encoding: "utf8", timeout: 120_000, env: { ...process.env, NACRE: join(root, "build/nacre") } });
  assert.equal(done.status, 0, `${command} ${args.join(" ")}: ${done.error ?? ""}\n${done.stdout}${done.stderr}`);
  return done.stdout;
}

/** What stands behind "Prints:" in the comment at the end. */
function promised(file: string): string {
  const text = readFileSync(file, "utf8");
  const at = text.search(/^(\/\/|#) Prints:\n/m);
  assert.ok(at > 0, `${file} does not say what it prints`);
  return text.slice(at).split("\n").slice(1, -1).map((line) => line.replace(/^(\/\/|#) ?/, "") + "\n").join("");
}

const programs = readdirSync(examples).filter((name) => /\.(mjs|ts|sh)$/.test(name));
const QUICK = promised(join(examples, "quickstart.mjs"));

describe("examples", () => {
  for (const name of programs) {
    test(name, () => {
      const file = join(examples, name), cwd = folder();
      const output = name.endsWith(".sh") ? run(cwd, "sh", file) : run(cwd, process.execPath, "--no-warnings", file);
      assert.equal(output, promised(file));
    });
  }

  test("all are in the list", () => {
    const listed = [...readFileSync(join(examples, "README.md"), "utf8").matchAll(/^\| \[([^\]]+)\]/gm)].map(([, name]) => name);
    for (const name of programs) assert.ok(listed.includes(name), name);
    assert.ok(programs.length >= 11, programs.join(" "));
  });

  test("types of all of them", () => {
    run(root, process.execPath, join(root, "node_modules/typescript/bin/tsc"), "-p", examples);
  });

  test("c/quickstart.c prints what quickstart.mjs prints, and each reads the other's file", async () => {
    const cwd = folder(), program = join(cwd, "quickstart");
    run(root, process.env.CC ?? "clang-22", "-std=c11", "-Wall", "-Wextra", "-Werror", join(examples, "c/quickstart.c"),
      "-Ibuild", "build/libnacre.a", "-lm", "-o", program);
    assert.equal(run(cwd, program), QUICK);
    const db = await open(join(cwd, "notes"), { mode: "existing" });
    const notes = await db.collection("notes");
    assert.deepEqual(await notes.get("pearl"), {
      key: "pearl", vector: new Float32Array([0.8, 0.3, 0.1]), title: "Pearls and their colours", year: 2026,
    });
    await db.close();
    assert.equal(run(cwd, process.execPath, join(examples, "quickstart.mjs")), QUICK);
    assert.equal(run(cwd, program), QUICK);
  });

  test("the demo", () => {
    const cwd = folder();
    const output = run(root, process.execPath, join(examples, "demo/demo.mjs"), cwd);
    assert.match(output, /kill -9 after [\d ]+ acknowledged records/);
    assert.match(output, /105 questions, 1 050 nearest neighbours: all as in the stored truth/);
    assert.match(output, /the same keys and the same distances to the last bit/);
    assert.doesNotMatch(output, /\x1b/, "colours in a pipe");
  });
});
