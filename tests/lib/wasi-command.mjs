// Runs a WASI command in Node over one directory, which it sees as /:
// wasi-command.mjs FILE.wasm DIRECTORY [ARGUMENT...].
import { readFileSync } from "node:fs";
import { WASI } from "node:wasi";

const [file, directory, ...args] = process.argv.slice(2);
const wasi = new WASI({ version: "preview1", args: ["nacre", ...args], preopens: { "/": directory }, returnOnExit: true });
const module = await WebAssembly.compile(readFileSync(file));
process.exitCode = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject()));
