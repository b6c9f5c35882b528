import { commonCalls } from "./host.ts";
import type { Host, HostMemory, WasiCalls } from "./host.ts";

/** A host without files: for ":memory:", everywhere. */
export class MemoryHost implements Host {
  calls(memory: HostMemory): WasiCalls {
    return commonCalls(memory);
  }

  close(): void {}
}
