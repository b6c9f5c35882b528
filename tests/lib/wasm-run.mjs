// Runs a WASI command in Node: wasm-run.mjs FILE.wasm [ARGUMENT...].
// It sees one directory, /tmp, which is fresh and removed afterwards.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WASI } from "node:wasi";

const [file, ...args] = process.argv.slice(2);
const directory = mkdtempSync(join(tmpdir(), "nacre-"));
try {
  const wasi = new WASI({
    version: "preview1",
    args: [file, ...args],
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith("NACRE_") || name === "CRASH_STATES")),
    preopens: { "/tmp": directory },
    returnOnExit: true,
  });
  const module = await WebAssembly.compile(readFileSync(file));
  process.exitCode = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject()));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
