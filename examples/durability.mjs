// How safe a write is when its promise resolves, and what a kill leaves behind.
import { spawnSync } from "node:child_process";
import { open } from "nacre";

// "strict" (the default): synced to disk before it is acknowledged.
// "relaxed": synced within 200 ms. "none": when the system likes, or at flush().
if (process.argv[2] === "child") {
  const db = await open("log", { durability: "strict" });
  const log = await db.kv("log", { key: "integer", value: "text" });
  for (let i = 1; i <= 100; i++) await log.put(i, `line ${i}`);
  log.put(101, "never awaited: it may be there or not");
  process.kill(process.pid, "SIGKILL"); // no close, no goodbye
}

const { signal } = spawnSync(process.execPath, [import.meta.filename, "child"]);
console.log("the child ended by", signal);

const db = await open("log"); // the lock of a killed process is taken over
const log = await db.kv("log");
let kept = 0;
for (let i = 1; i <= 100; i++) if ((await log.get(i)) === `line ${i}`) kept++;
console.log(kept, "of 100 acknowledged lines are there");

const { recovery } = await db.stats();
console.log("commits read back from the log:", recovery.replayedFrames >= 100);
console.log("verify:", await db.verify({ deep: true }));
await db.close();

// Prints:
// the child ended by SIGKILL
// 100 of 100 acknowledged lines are there
// commits read back from the log: true
// verify: { ok: true, problems: [] }
