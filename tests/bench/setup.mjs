// setup.mjs - what run.mjs and search.mjs share: folders, the peers, programs in C, the machine, the README.

import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import { delimiter, join, resolve } from "node:path";

const here = import.meta.dirname, compiler = process.env.CC ?? "clang-22";
export const root = resolve(here, "../.."), build = join(root, "build"), out = join(build, "bench");
export const peers = join(out, "peers"), js = join(out, "js");
const env = { ...process.env, PATH: join(root, "node_modules/.bin") + delimiter + process.env.PATH };

export function run(command, args, options = {}) {
  return execFileSync(command, args, { cwd: root, env, encoding: "utf8", maxBuffer: 2 ** 26, stdio: ["ignore", "pipe", "inherit"], ...options });
}

/** In build, so that the peers are no part of the package's own tree. */
export function installPeers() {
  mkdirSync(peers, { recursive: true });
  const lock = readFileSync(join(here, "package-lock.json"), "utf8"), mark = join(peers, ".installed");
  if (existsSync(mark) && readFileSync(mark, "utf8") === lock) return;
  for (const file of ["package.json", "package-lock.json", ".npmrc"]) cpSync(join(here, file), join(peers, file));
  console.error("bench: npm install of the peers, in build/bench/peers");
  // They bring prebuilt binaries for the common platforms; elsewhere, and hnswlib-node everywhere, their install scripts
  // compile, which needs g++: the optional ones may fail. Not npm ci: it refuses the lock where a registry lacks an
  // optional package of another platform.
  run("npm", ["install", "--loglevel=error"], { cwd: peers });
  writeFileSync(mark, lock);
}

/** What is measured does not change while it is measured. `programs`: names of C files here. */
export function freeze(programs) {
  rmSync(js, { recursive: true, force: true });
  cpSync(join(build, "js"), js, { recursive: true });
  for (const name of programs) {
    run(compiler, ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-I", join(root, "core"),
      join(here, `${name}.c`), join(build, "libnacre.a"), "-lm", "-o", join(out, name)]);
  }
}

/** Of an installed peer; undefined: it is not there. */
export function version(name) {
  const file = join(peers, "node_modules", name, "package.json");
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).version : undefined;
}

export function load() {
  return os.loadavg()[0].toFixed(1);
}

export function machine(names) {
  const l3 = "/sys/devices/system/cpu/cpu0/cache/index3/size";
  return {
    date: new Date().toISOString(),
    cpu: os.cpus()[0].model, cores: os.cpus().length, memory: os.totalmem(), kernel: os.release(),
    cache: existsSync(l3) ? `${parseInt(readFileSync(l3, "utf8")) / 1024} MiB` : "unknown",
    files: run("df", ["--output=fstype", out]).trim().split("\n")[1],
    node: process.version, compiler: run(compiler, ["--version"]).split("\n")[0].replace(/.*(clang|gcc)[^0-9]*([0-9.]+).*/, "$1 $2"),
    commit: run("git", ["describe", "--always", "--dirty"]).trim(),
    peers: Object.fromEntries(names.map((name) => [name, version(name)]).filter(([, found]) => found)),
    load: [load()],
  };
}

/** Raw figures, by the date of the run. */
export function keep(result, prefix = "") {
  const name = join(out, `${prefix}${result.machine.date.replaceAll(":", "-").slice(0, 19)}.json`);
  writeFileSync(name, JSON.stringify(result, null, 1));
  console.error(`bench: raw figures in ${name}`);
}

/** Between the README's lines <!-- mark:begin --> and <!-- mark:end -->. */
export function writeTable(mark, text) {
  const marked = new RegExp(`(<!-- ${mark}:begin -->\\n)[\\s\\S]*?(<!-- ${mark}:end -->)`), readme = join(root, "README.md");
  if (!marked.test(readFileSync(readme, "utf8"))) throw new Error(`README.md lacks the lines <!-- ${mark}:begin --> and <!-- ${mark}:end -->`);
  writeFileSync(readme, readFileSync(readme, "utf8").replace(marked, (_, begin, end) => `${begin}\n${text}\n${end}`));
  console.error(`bench: table written to ${readme}`);
}
