import { builtin, isNode } from "./node.ts";

/**
 * Random bytes of the system. In Node they come from its device where there is one: the first
 * use of WebCrypto there loads modules for longer than a database takes to open.
 */
export function fillRandom(into: Uint8Array): void {
  if (isNode && readDevice(into)) return;
  for (let at = 0; at < into.length; at += 65536) {
    crypto.getRandomValues(into.subarray(at, Math.min(at + 65536, into.length)) as Uint8Array<ArrayBuffer>);
  }
}

function readDevice(into: Uint8Array): boolean {
  const fs = builtin("node:fs");
  try {
    const device = fs.openSync("/dev/urandom", "r");
    try {
      if (!fs.fstatSync(device).isCharacterDevice()) return false;
      let at = 0;
      while (at < into.length) {
        const got = fs.readSync(device, into, at, into.length - at, null);
        if (got === 0) return false;
        at += got;
      }
      return true;
    } finally {
      fs.closeSync(device);
    }
  } catch {
    return false; // Windows, or a closed sandbox
  }
}
