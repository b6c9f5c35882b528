// node --import THIS: what tests import as the package is the package over a MessageChannel.
import { registerHooks } from "node:module";

process.env.TEST_REMOTE = "1";
const shim = new URL("./remote-index.mjs", import.meta.url).href;

registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context);
    if (context.parentURL === shim) return found;
    const swapped = found.url.endsWith("/build/js/index.js") ||
      (found.url.endsWith("/build/js/open.js") && context.parentURL?.endsWith("/build/js/level.js"));
    return swapped ? { ...found, url: shim } : found;
  },
});
