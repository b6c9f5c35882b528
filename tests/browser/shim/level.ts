// The suite of abstract-level in a page, over NacreLevel as the site serves it.
import { Buffer } from "buffer";
// @ts-expect-error CommonJS without types
import suite from "abstract-level/test";
import { NacreLevel } from "../../../build/js/level.js";
import { freshName } from "./index.ts";
import { tape } from "./tape.ts";

(globalThis as { Buffer?: unknown }).Buffer = Buffer;
const storage = new URLSearchParams(location.search).get("storage");

suite({
  test: tape,
  factory(options?: object): object {
    const level = new NacreLevel(freshName(), { storage: storage as "opfs", durability: "relaxed", ...options });
    (level as unknown as { supports: { getSync: boolean } }).supports.getSync = false;
    return level;
  },
});
