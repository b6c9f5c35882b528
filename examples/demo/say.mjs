// How the demo talks: calm lines on a terminal, the same lines without colour in a pipe.
process.stdout.on("error", (error) => process.exit(error.code === "EPIPE" ? 0 : 1)); // as in `| head`

const tty = process.stdout.isTTY === true;
const colour = tty && process.env.NO_COLOR === undefined && process.env.TERM !== "dumb";
const paint = (code) => (text) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);

export const bold = paint(1), dim = paint(2), red = paint(31), green = paint(32), cyan = paint(36);

const columns = Math.max(60, Math.min(process.stdout.columns || 100, 110));

export const fit = (text, width) => (text.length <= width ? text.padEnd(width) : `${text.slice(0, width - 1)}…`);
/** 12 345. */
export const number = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, " ");
export const seconds = (ms) => (ms < 100 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`);
export const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

export const line = (text = "") => process.stdout.write(text === "" ? "\n" : `   ${text}\n`);
export const title = (text) => process.stdout.write(`${bold(text)}\n`);
export const step = (n, title) => process.stdout.write(`\n${bold(`${n}  ${title}`)}\n`);
export const proved = (text) => line(`${green("✓")} ${text}`);

/** One hit of a search, on one line. */
export function hit({ key, distance, title }) {
  line(`  ${distance.toFixed(4)}  ${fit(key, 28)}  ${dim(fit(title, columns - 45).trimEnd())}`);
}

/** A bar that is redrawn in place; on a terminal only. */
export function progress(done, total, what) {
  if (!tty) return;
  const width = 32, full = Math.round((width * done) / total);
  process.stdout.write(`\r   ${cyan("█".repeat(full))}${dim("░".repeat(width - full))}  ${number(done)} ${what}`);
}
export function progressEnd() {
  if (tty) process.stdout.write("\r\x1b[K");
}

/** What is not as it should be: the demo ends here. */
export class Wrong extends Error {}
export function expect(condition, what) {
  if (!condition) throw new Wrong(what);
}
