// What suites import of Node and of Node's globals; what a page has no files for is left out by name.
class Bytes extends Uint8Array {
  static override from(source: any): any {
    return typeof source === "string" ? new TextEncoder().encode(source) : source;
  }
  static compare(a: Uint8Array, b: Uint8Array): number {
    for (let i = 0; i < a.length && i < b.length; i++) if (a[i] !== b[i]) return (a[i] as number) - (b[i] as number);
    return a.length - b.length;
  }
}
Object.defineProperty(Uint8Array.prototype, "equals", { value(this: Uint8Array, other: Uint8Array) { return Bytes.compare(this, other) === 0; }, writable: true, configurable: true });
(globalThis as { Buffer?: unknown }).Buffer ??= Bytes;
(globalThis as { setImmediate?: unknown }).setImmediate ??= (run: () => void) => setTimeout(run, 0);

export const existsSync = undefined, copyFileSync = undefined, openSync = undefined;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
export { sleep as setTimeout };
