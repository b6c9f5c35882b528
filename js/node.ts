/**
 * Node's own modules, without a static import: one compiled file serves Node and browsers,
 * and no bundler meets `node:fs`.
 */
interface Builtins {
  "node:fs": typeof import("node:fs");
  "node:path": typeof import("node:path");
  "node:url": typeof import("node:url");
}

/** Whether this is Node, or a runtime that offers its modules. */
export const isNode: boolean = typeof process === "object" && typeof process.versions?.node === "string" &&
  typeof process.getBuiltinModule === "function";

export function builtin<Name extends keyof Builtins>(name: Name): Builtins[Name] {
  return process.getBuiltinModule(name) as Builtins[Name];
}
