// Made by wasm/inline.mjs: what a page starts that cannot load files from beside this package.

/** The source of worker.js. */
export const worker: string;
/** nacre.wasm, in base64. */
export const wasm: string;
