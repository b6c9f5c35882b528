import { LOCK_FILE } from "./abi.gen.ts";
import { NacreError } from "./errors.ts";
import { builtin } from "./node.ts";
import { fillRandom } from "./random.ts";

/**
 * The writer's lock NAME-lock, as core/host/lock_format.h describes it to the letter; the
 * numbers in parentheses are its rules. Native code and Node exclude each other by it.
 */
export class NodeLock {
  readonly #name: string;
  readonly #self: Holder;

  private constructor(name: string, self: Holder) {
    this.#name = name;
    this.#self = self;
  }

  /** Takes lock file `name`, or says within 100 ms who has it (BUSY). */
  static take(name: string): NodeLock {
    const taker = new Taker(name);
    taker.take();
    return new NodeLock(name, taker.self);
  }

  /** (15) Removes it if it is still ours. */
  release(): void {
    const found = readOnce(this.#name);
    if (found?.state === "whole" && found.token === this.#self.token && this.#self.pid === process.pid) remove(this.#name);
  }
}

/** (4) What the module is told of this process: it has no process ids of its own. */
export function processLines(): string {
  const { pid, start, boot, host } = ourselves();
  return `pid ${pid}\nstart ${start}\nboot ${boot}\nhost ${host}\n`;
}

/**
 * (18) Removes the pins of readers that are no more, beside the lock `name`: the module sees
 * none of them afterwards. (It cannot ask for processes itself.)
 */
export function removeDeadPins(name: string): void {
  const path = builtin("node:path"), fs = builtin("node:fs");
  const folder = path.dirname(name), base = `${path.basename(name)}.r`;
  let living: Liveness | undefined;
  for (const entry of fs.readdirSync(folder)) {
    if (!entry.startsWith(base) || !/^[0-9a-f]{16}(\.new)?$/.test(entry.slice(base.length))) continue;
    try {
      const pin = readOnce(path.join(folder, entry), PIN_LINES);
      living ??= new Liveness();
      if (pin !== undefined && !living.isAlive(pin)) remove(path.join(folder, entry));
    } catch { /* what cannot be read is for the module to judge */ }
  }
}

interface Holder {
  state: "whole" | "not whole" | "other version";
  pid: number;
  start: number;
  boot: string;
  token: string;
  host: string;
}

const NUMBER = "(0|[1-9][0-9]{0,15})";
const FIELDS = `pid ${NUMBER}\\nstart ${NUMBER}\\nboot ([0-9a-f-]{1,64})\\ntoken ([0-9a-f]{32})\\nhost ([a-z]{1,16})\\n`;
const LOCK_LINES = new RegExp(`^nacre-lock 1\\n${FIELDS}end\\n$`);
const PIN_LINES = new RegExp(`^nacre-reader 1\\n${FIELDS}generation ${NUMBER}\\nend\\n$`);

/** (1), (2) */
function parse(text: string, lines: RegExp): Holder {
  const found = text.length <= LOCK_FILE.TEXT_MAX ? lines.exec(text) : null;
  if (found !== null) {
    const [, pid, start, boot = "-", token = "", host = ""] = found;
    const holder: Holder = { state: "whole", pid: Number(pid), start: Number(start), boot, token, host };
    if (Number.isSafeInteger(holder.pid) && Number.isSafeInteger(holder.start)) return holder;
  }
  const version = (lines === LOCK_LINES ? /^nacre-lock ([0-9]{1,7})\n/ : /^nacre-reader ([0-9]{1,7})\n/).exec(text)?.[1];
  const state = version !== undefined && version !== "1" ? "other version" : "not whole";
  return { state, pid: 0, start: 0, boot: "-", token: "0".repeat(LOCK_FILE.TOKEN_DIGITS), host: "" };
}

function print(holder: Holder): string {
  return `nacre-lock 1\npid ${holder.pid}\nstart ${holder.start}\nboot ${holder.boot}\n` +
    `token ${holder.token}\nhost ${holder.host}\nend\n`;
}

/** /proc/PID/stat; undefined where it cannot be read. */
function processFields(pid: number | "self"): { pid: number; state: string; threads: number; start: number } | undefined {
  try {
    const text = builtin("node:fs").readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const found = {
      pid: Number.parseInt(text, 10), state: fields[0] ?? "", threads: Number(fields[17]), start: Number(fields[19]),
    };
    return Number.isSafeInteger(found.threads) && Number.isSafeInteger(found.start) ? found : undefined;
  } catch {
    return undefined;
  }
}

/** (3) */
function ourselves(): Holder {
  const fields = processFields("self");
  let boot = "-";
  try {
    const text = builtin("node:fs").readFileSync("/proc/sys/kernel/random/boot_id", "latin1").replace(/\n$/, "");
    if (/^[0-9a-f-]{1,64}$/.test(text)) boot = text;
  } catch { /* not Linux */ }
  const random = new Uint8Array(LOCK_FILE.TOKEN_DIGITS / 2);
  fillRandom(random);
  let token = "";
  for (const byte of random) token += byte.toString(16).padStart(2, "0");
  return { state: "whole", pid: process.pid, start: fields?.pid === process.pid ? fields.start : 0, boot, token, host: "node" };
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

function failure(verb: string, name: string, error: unknown): NacreError {
  const code = codeOf(error);
  const why = { cause: error };
  const text = `lock: ${verb} ${name}: ${error instanceof Error ? error.message : String(error)}`;
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") return new NacreError("PERMISSION", text, why);
  if (code === "ENOSPC" || code === "EDQUOT") return new NacreError("QUOTA", text, why);
  if (code === "ENOENT" || code === "ENOTDIR") return new NacreError("NOT_FOUND", text, why);
  return new NacreError("IO", text, why);
}

/** What the file says now; undefined: it is not there. */
function readOnce(name: string, lines: RegExp = LOCK_LINES): Holder | undefined {
  const fs = builtin("node:fs");
  let fd: number;
  try {
    fd = fs.openSync(name, fs.constants.O_RDONLY | (fs.constants.O_NOFOLLOW ?? 0) | (fs.constants.O_NONBLOCK ?? 0));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw failure("open", name, error);
  }
  try {
    if (!fs.fstatSync(fd).isFile()) throw new NacreError("IO", `lock: ${name} is not a regular file`);
    const bytes = new Uint8Array(LOCK_FILE.TEXT_MAX + 1);
    let size = 0;
    for (let got = 1; got > 0 && size < bytes.length;) {
      got = fs.readSync(fd, bytes, size, bytes.length - size, size);
      size += got;
    }
    return parse(new TextDecoder("latin1").decode(bytes.subarray(0, size)), lines);
  } catch (error) {
    throw error instanceof NacreError ? error : failure("read", name, error);
  } finally {
    fs.closeSync(fd);
  }
}

/** Best effort: what is missing is fine. */
function remove(name: string): void {
  try {
    builtin("node:fs").unlinkSync(name);
  } catch { /* gone, or not ours to remove */ }
}

/** (5) Who lives, seen from this process. */
class Liveness {
  readonly self = ourselves();

  isAlive(holder: Holder): boolean {
    if (holder.state === "not whole") return false;
    if (holder.state === "other version") return true;
    if (holder.boot !== "-" && this.self.boot !== "-" && holder.boot !== this.self.boot) return false;
    return holder.pid === 0 || !this.#isDead(holder);
  }

  #isDead(holder: Holder): boolean {
    if (holder.pid > 0x7fffffff) return true;
    try {
      process.kill(holder.pid, 0);
    } catch (error) {
      if (codeOf(error) === "ESRCH") return true;
    }
    if (this.self.start === 0) return false; // /proc is not ours
    const fields = processFields(holder.pid);
    if (fields === undefined) return false;
    if ((fields.state === "Z" || fields.state === "X") && fields.threads <= 1) return true;
    return holder.start !== 0 && holder.start !== fields.start;
  }
}

class Taker extends Liveness {
  readonly #name: string;
  readonly #temporary: string;

  constructor(name: string) {
    super();
    this.#name = name;
    this.#temporary = `${name}.${this.self.token.slice(0, LOCK_FILE.SHORT_DIGITS)}`;
  }

  take(): void {
    this.#write(this.#temporary); // (6)
    try {
      this.#try();
    } finally {
      remove(this.#temporary); // (12), (13)
    }
  }

  #try(): void {
    for (let tries = 0; tries < LOCK_FILE.TRIES; tries++) {
      if (this.#put(this.#name)) return this.#confirm(); // (7)
      const found = this.read(this.#name);
      if (found === undefined) continue;
      if (this.isAlive(found)) throw this.#busy(found); // (8)
      const claims = this.#claim(found);
      if (claims === undefined) continue;
      const now = this.read(this.#name);
      if (now === undefined || now.token !== found.token) { // (10)
        remove(this.#claimName(found, claims));
        continue;
      }
      try { // (11)
        builtin("node:fs").renameSync(this.#temporary, this.#name);
        this.#confirm();
      } catch (error) {
        remove(this.#claimName(found, claims)); // (13)
        throw error instanceof NacreError ? error : failure("replace", this.#name, error);
      }
      this.#tidy(found, claims);
      return;
    }
    throw new NacreError("BUSY", `${this.#name}: others take and give it back all the time`);
  }

  /** (9) The number of our claim on a dead lock; undefined: look again. */
  #claim(dead: Holder): number | undefined {
    for (let number = 1; number <= LOCK_FILE.CLAIM_MAX; number++) {
      const name = this.#claimName(dead, number);
      if (this.#put(name)) return number;
      const claimer = this.read(name);
      if (claimer === undefined) return undefined;
      if (this.isAlive(claimer)) throw this.#busy(claimer);
    }
    throw new NacreError("BUSY", `${this.#name}: ${LOCK_FILE.CLAIM_MAX} processes died while taking it over; remove it by hand`);
  }

  #claimName(dead: Holder, number: number): string {
    return `${this.#name}.${dead.token.slice(0, LOCK_FILE.SHORT_DIGITS)}.${number}`;
  }

  /** (7), (11) Our token must stand there. */
  #confirm(): void {
    const now = this.read(this.#name);
    if (now?.state === "whole" && now.token === this.self.token) return;
    throw new NacreError("BUSY", `${this.#name}: another process took it at the same moment`);
  }

  /** (11) We hold the lock: what killed takers left goes. */
  #tidy(dead: Holder, claims: number): void {
    const path = builtin("node:path");
    const folder = path.dirname(this.#name), base = `${path.basename(this.#name)}.`;
    for (let number = 1; number <= claims; number++) remove(this.#claimName(dead, number));
    try {
      for (const entry of builtin("node:fs").readdirSync(folder)) {
        if (entry.startsWith(base) && /^[0-9a-f]{16}(\.[0-9]{1,2})?$/.test(entry.slice(base.length))) {
          remove(path.join(folder, entry));
        }
      }
    } catch { /* best effort */ }
  }

  /** "Read" of the format: a file that is not whole is given time to become so. */
  read(name: string): Holder | undefined {
    for (let waited = 0; ; waited += LOCK_FILE.WAIT_STEP_MS) {
      const holder = readOnce(name);
      if (holder?.state !== "not whole" || waited >= LOCK_FILE.WAIT_MS) return holder;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOCK_FILE.WAIT_STEP_MS);
    }
  }

  /** "Put" of the format; false: it is there. */
  #put(name: string): boolean {
    try {
      builtin("node:fs").linkSync(this.#temporary, name);
      return true;
    } catch (error) {
      if (codeOf(error) === "EEXIST") return false;
    }
    try {
      this.#write(name); // no links here, or they took our temporary away
      return true;
    } catch (error) {
      if (error instanceof NacreError && codeOf(error.cause) === "EEXIST") return false;
      throw error;
    }
  }

  /** Makes a file with our text; on failure nothing is left. */
  #write(name: string): void {
    const fs = builtin("node:fs");
    let fd: number;
    try {
      fd = fs.openSync(name, "wx", 0o600);
    } catch (error) {
      throw failure("create", name, error);
    }
    try {
      fs.writeFileSync(fd, print(this.self));
    } catch (error) {
      remove(name);
      throw failure("write", name, error);
    } finally {
      fs.closeSync(fd);
    }
  }

  describe(holder: Holder): string {
    if (holder.state === "other version") return "held, says a lock of another version";
    if (holder.pid === 0) return "held by a program without a process id; remove the lock if it is gone";
    const own = holder.pid === this.self.pid && holder.boot === this.self.boot;
    return `${own ? "this process" : "process"} ${holder.pid} (${holder.host}) has it open for writing`;
  }

  #busy(holder: Holder): NacreError {
    return new NacreError("BUSY", `${this.#name}: ${this.describe(holder)}`,
      holder.state === "whole" ? { details: { pid: holder.pid, host: holder.host } } : {});
  }
}
