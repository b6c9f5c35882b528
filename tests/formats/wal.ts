// wal_format.h
import { Reader, equal, expect, latin1 } from "./bytes.ts";
import { xxh3 } from "./xxh3.ts";

const HEAD = 8192;
const FRAME = 40;
const BATCHES = 0x42574e01;
const CUT = 0x42574e04;

export interface LogHeader {
  version: number;
  flags: number;
  databaseId: string;
  sequence: bigint;
  salt: bigint;
  baseLsn: bigint;
  epoch: bigint;
}

export interface Frame {
  kind: "batches" | "cut";
  lsn: bigint;
  previous: bigint;
  synced: bigint;
  body: Uint8Array;
}

export interface Log {
  header: LogHeader;
  /** Both headers are there and the same: they differ only when a reset was cut off. */
  twice: boolean;
  frames: Frame[];
  torn: number; // bytes behind the last frame
}

function readHeader(file: Uint8Array, at: number): LogHeader | undefined {
  const bytes = file.subarray(at, at + 72);
  if (bytes.length < 72 || latin1(bytes.subarray(0, 8)) !== "NACRELOG") return undefined;
  if (new Reader(bytes, 64).u64() !== xxh3(bytes.subarray(0, 64))) return undefined;
  const r = new Reader(bytes, 8);
  const version = r.u32();
  expect(version === 1 || version === 2, "log: version");
  return {
    version, flags: r.u32(), databaseId: latin1(r.take(16)), sequence: r.u64(), salt: r.u64(), baseLsn: r.u64(), epoch: r.u64(),
  };
}

/** undefined: no whole frame lies there. */
function readFrame(file: Uint8Array, at: number, salt: bigint): Frame | undefined {
  if (file.length - at < FRAME) return undefined;
  const r = new Reader(file, at);
  const checksum = r.u64();
  const kind = r.u32();
  const size = r.u32();
  if ((kind !== BATCHES && kind !== CUT) || size < FRAME || size % 4 !== 0 || size > file.length - at) return undefined;
  if (xxh3(file.subarray(at + 8, at + size), salt) !== checksum) return undefined;
  return {
    kind: kind === CUT ? "cut" : "batches", lsn: r.u64(), previous: r.u64(), synced: r.u64(), body: r.take(size - FRAME),
  };
}

export function readLog(file: Uint8Array): Log {
  const headers = [readHeader(file, 0), readHeader(file, 4096)];
  const whole = headers.filter((header) => header !== undefined).sort((a, b) => Number(b.sequence - a.sequence));
  const header = whole[0];
  expect(header !== undefined, "log: both headers are damaged");
  expect(new Reader(file, 72).take(4096 - 72).every((byte) => byte === 0), "log: between the headers");
  expect(new Reader(file, 4096 + 72).take(4096 - 72).every((byte) => byte === 0), "log: behind the headers");
  const log: Log = { header, twice: equal(file.subarray(0, 72), file.subarray(4096, 4096 + 72)), frames: [], torn: 0 };
  let at = HEAD;
  let salt = header.salt;
  for (let frame; (frame = readFrame(file, at, salt)) !== undefined; at += FRAME + frame.body.length) {
    const before = log.frames.at(-1);
    expect(!before || frame.previous === before.lsn, () => `log: frame ${frame!.lsn} does not follow ${before!.lsn}`);
    expect(frame.lsn >= frame.previous && frame.synced <= frame.lsn, () => `log: LSNs of frame ${frame!.lsn}`);
    if (frame.kind === "cut") {
      expect(frame.body.length === 8, "log: a cut's body");
      const next = new Reader(frame.body).u64();
      expect(header.version === 1 || next === xxh3(new Uint8Array(8), salt), "log: the salt behind a cut");
      salt = next;
    }
    log.frames.push(frame);
  }
  log.torn = file.length - at;
  const last = log.frames.at(-1)?.lsn ?? 0n;
  for (let later = at + 4; later + FRAME <= file.length; later += 4) {
    const frame = readFrame(file, later, salt);
    expect(!frame || frame.synced <= last, () => `log: damaged at ${at}: a frame at ${later} follows`);
  }
  return log;
}
