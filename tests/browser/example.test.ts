// The page of examples/browser, served by its own server.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { launch } from "puppeteer-core";

const executablePath = "/usr/bin/chromium";

test("examples/browser: the nearest colours", { skip: !existsSync(executablePath) && `no ${executablePath}`, timeout: 120_000 }, async () => {
  const server = spawn(process.execPath, [join(import.meta.dirname, "../../examples/browser/serve.mjs"), "0"], { stdio: ["ignore", "pipe", "inherit"] });
  const profile = mkdtempSync(join(tmpdir(), "nacre-browser-"));
  const address = await new Promise<string>((resolve) => server.stdout.once("data", (text) => resolve(String(text).trim())));
  const browser = await launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"], userDataDir: profile, timeout: 60_000 });
  try {
    const page = await browser.newPage();
    const errors: unknown[] = [];
    page.on("pageerror", (error) => errors.push(error));
    await page.goto(address);
    await page.waitForFunction(() => document.querySelectorAll("li").length === 5);
    const first = (): Promise<string | null> => page.$eval("li", (item) => item.textContent);
    assert.match((await first())!, /^skyblue, /);
    await page.click("input[type=checkbox]");
    await page.waitForFunction(() => !document.querySelector("ul")?.textContent?.includes("skyblue"));
    await page.$eval("input[type=color]", (input) => {
      (input as HTMLInputElement).value = "#ff0000";
      input.dispatchEvent(new Event("input"));
    });
    await page.waitForFunction(() => document.querySelector("li")?.textContent === "red, 0 away");
    await page.click("input[type=checkbox]");
    await page.type("form input", "a red of mine");
    await page.click("form button");
    await page.waitForFunction(() => document.querySelector("ul")?.textContent?.includes("a red of mine"));
    await page.reload(); // it is kept
    await page.waitForFunction(() => document.querySelectorAll("li").length === 5);
    await page.$eval("input[type=color]", (input) => {
      (input as HTMLInputElement).value = "#ff0000";
      input.dispatchEvent(new Event("input"));
    });
    await page.waitForFunction(() => document.querySelector("ul")?.textContent?.includes("a red of mine"));
    assert.match(await page.$eval("#state", (state) => state.textContent ?? ""), /^50 colours, kept in the origin's private files$/);
    assert.deepEqual(errors, []);
  } finally {
    await browser.close();
    server.kill();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
});
