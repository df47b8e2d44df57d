// The server is restarted in the middle of a form and of a console: nothing that was acknowledged is lost, and who was
// there goes on by themselves.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, restartServer, signIn, visitor } from "./browser.mjs";

const READY = 120_000;
const suffix = Date.now().toString(36);
let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

async function shows(page, text) {
  await page.waitForFunction((wanted) => document.querySelector(".xterm-rows")?.textContent.includes(wanted), text, { timeout: READY });
}

const canRestart = { skip: process.env.BERTH_RESTART ? false : "SKIPPED: BERTH_RESTART names no directory that has the server restarted" };

test("a restart in the middle of a form and of a console", canRestart, async () => {
  // While the server is away, streams and requests for tickets fail, which the browser's own console tells.
  const { context, page, complaints } = await visitor(browser, {}, [/ERR_/, /502/, /503/, /WebSocket/, /Failed to fetch/]);
  await signIn(page);
  const servers = page.url().replace(/[^/]+$/, "servers");
  await page.goto(`${servers}/new`);
  const name = `restart-${suffix}`;
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByText("Labels and user data").click();
  await page.getByLabel("Labels").fill("kept=yes");
  await restartServer();
  await page.getByRole("button", { name: "Create server" }).click();
  await page.waitForURL(/\/servers\/\d+$/);
  const home = page.url();
  await page.getByText("kept=yes").waitFor();
  // Right after it was acknowledged, while its host still works on it.
  await restartServer();
  await page.locator("#server-status").getByText("Running").waitFor({ timeout: READY }); // the stream came back by itself

  await page.getByRole("link", { name: "Console" }).click();
  const state = page.locator("#console-state");
  await state.getByText("Connected", { exact: true }).waitFor({ timeout: READY });
  await page.keyboard.type("before-the-restart");
  await shows(page, "before-the-restart");
  await restartServer();
  // It comes back by itself: what is typed is answered again.
  const deadline = Date.now() + READY;
  for (let n = 0; ; n++) {
    await page.locator(".xterm-helper-textarea").focus();
    await page.keyboard.type(`after-${n}-`);
    const seen = await answers(page, `after-${n}-`);
    if (seen) break;
    assert.ok(Date.now() < deadline, "the console did not come back");
  }

  await page.goto(home);
  await page.getByLabel(`Type ${name} to confirm`).fill(name);
  await page.getByRole("button", { name: "Delete server" }).click();
  await page.waitForURL(/\/servers$/);
  await page.locator("#servers tbody tr", { hasText: name }).waitFor({ state: "detached", timeout: READY });
  assert.deepEqual(complaints, []);
  await context.close();
});

// Whether the text comes within some seconds.
async function answers(page, text) {
  const there = (wanted) => document.querySelector(".xterm-rows")?.textContent.includes(wanted);
  return page.waitForFunction(there, text, { timeout: 3_000 }).then(() => true, () => false);
}
