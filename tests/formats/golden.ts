// Writes golden/v2/ anew (make golden): each database, and what it holds as lines of JSON.
// Only for a format that no release has written; see make_golden.c.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { readDatabase, readFiles } from "./database.ts";
import { decryptFiles } from "./crypt.ts";
import { BUILD, GOLDEN, GOLDEN_KEY, NACRE, NAMES, inFolder, run, writeFiles, writeGolden } from "./lib.ts";

const VERSION = "v2";

mkdirSync(join(GOLDEN, VERSION), { recursive: true });
for (const name of [...NAMES, "secret"]) {
  await inFolder((folder) => {
    const path = join(folder, name);
    run(join(BUILD, "formats/make_golden"), name, path);
    const files = readFiles(path);
    readDatabase(name === "secret" ? decryptFiles(files, GOLDEN_KEY) : files);
    writeGolden(VERSION, name, files);
    const copy = join(folder, "copy");
    writeFiles(copy, files);
    const key = join(folder, "key");
    writeFileSync(key, GOLDEN_KEY);
    const dump = run(NACRE, "dump", copy, ...(name === "secret" ? ["--key-file", key] : []));
    writeFileSync(join(GOLDEN, VERSION, `${name}.jsonl.gz`), gzipSync(dump, { level: 9 }));
    if (name !== "small") return;
    run(NACRE, "backup", copy, join(folder, "backup"));
    writeFileSync(join(GOLDEN, VERSION, `${name}.backup.gz`), gzipSync(readFileSync(join(folder, "backup")), { level: 9 }));
  });
}
