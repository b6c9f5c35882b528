// The worker that each page with a database starts: one file without imports, once it is bundled.
import type { WasmModule } from "./engine.ts";
import { Member } from "./member.ts";
import { openFiles } from "./serving.ts";
import type { Job } from "./tabs.ts";
import { browser, gather } from "./world.ts";
import type { Line } from "./world.ts";

const scope = self as unknown as { postMessage(message: unknown): void; onmessage: (event: { data: unknown }) => void };

scope.onmessage = ({ data }) => {
  const { job, wasm } = data as { job: Job; wasm: WasmModule };
  const line: Line = { post: gather((messages) => scope.postMessage(messages)).post, onmessage: () => {} };
  new Member(browser, line, job, (each) => openFiles(each, wasm));
  scope.onmessage = ({ data: messages }) => {
    for (const message of messages as unknown[]) line.onmessage(message);
  };
};
scope.postMessage({ kind: "alive" });
