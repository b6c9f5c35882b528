// Makes of the compiled worker.js one file without imports, and of that and nacre.wasm the text
// in inline.js: bundle.mjs FOLDER.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const folder = process.argv[2];
const { outputFiles: [bundle] } = await build({
  entryPoints: [join(folder, "worker.js")], bundle: true, write: false, minify: true, format: "esm", target: "es2022", legalComments: "none",
  define: { "import.meta.url": '"nacre:"' }, // it is given the module, and never looks for files
  external: ["./inline.js"],
});
const worker = bundle.text.trim();
if (/^\s*import[\s{*"']/m.test(worker) || /\bimport\s*\(/.test(worker)) throw new Error("worker.js still imports something");
writeFileSync(join(folder, "worker.js"), `${worker}\n`);
const wasm = readFileSync(join(folder, "nacre.wasm")).toString("base64");
writeFileSync(join(folder, "inline.js"), `export const worker = ${JSON.stringify(worker)};\nexport const wasm = "${wasm}";\n`);
