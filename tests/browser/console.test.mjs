// The console in a browser: keys go in, output comes out, under the strict CSP; it says why it is not there and comes
// back. The host is a simulated one, whose consoles echo what is typed and have no history.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, fitsPhone, launch, picture, signIn, visitor } from "./browser.mjs";

const READY = 120_000;
const suffix = Date.now().toString(36);
let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

async function shows(page, text) {
  await page.waitForFunction((wanted) => document.querySelector(".xterm-rows")?.textContent.includes(wanted), text);
}

// The colour that the terminal is drawn on, once it is that of the page: it follows the page a moment later.
async function ground(page) {
  const drawn = await page.waitForFunction(() => {
    const colour = (selector) => getComputedStyle(document.querySelector(selector)).backgroundColor;
    return colour(".xterm-scrollable-element") === colour("#console-screen") && colour("#console-screen");
  });
  return drawn.jsonValue();
}

test("the console takes keys, says why it is away, and comes back", async () => {
  // While the server is off the ticket is refused, which the browser's own console tells as an error.
  const { context, page, complaints } = await visitor(browser, {}, [/412/, /423/]);
  await signIn(page);
  const servers = page.url().replace(/[^/]+$/, "servers");
  await page.goto(`${servers}/new`);
  const name = `console-${suffix}`;
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByRole("button", { name: "Create server" }).click();
  await page.waitForURL(/\/servers\/\d+$/);
  const home = page.url();
  const other = await context.newPage();
  await other.goto(home);
  await page.locator("#server-status").getByText("Running").waitFor({ timeout: READY });

  await page.getByRole("link", { name: "Console" }).click();
  const state = page.locator("#console-state");
  await state.getByText("Connected", { exact: true }).waitFor({ timeout: READY });
  await page.keyboard.type("hello-from-the-browser");
  await shows(page, "hello-from-the-browser");
  // A colour that no class stands for: under the CSP it must come by other means than an attribute.
  await page.keyboard.press("Escape");
  await page.keyboard.type("[38;2;200;30;30mcolour");
  await shows(page, "colour");
  const span = page.locator(".xterm-rows span", { hasText: "colour" }).first();
  assert.match(await span.evaluate((e) => e.style.color), /^rgb|^#/);
  await accessible(page, "console");
  const colours = [];
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    colours.push(await ground(page));
    await picture(page, `console-${colorScheme}`);
  }
  assert.notEqual(colours[0], colours[1]);
  await page.emulateMedia({ colorScheme: null });
  await fitsPhone(page, "console");
  await state.getByText("Connected", { exact: true }).waitFor();

  await other.getByRole("button", { name: "Shut down" }).click();
  await other.locator("#server-status").getByText("Off").waitFor({ timeout: READY });
  await state.getByText("The server is off").waitFor({ timeout: READY });
  await accessible(page, "console-off");
  await other.getByRole("button", { name: "Power on" }).click();
  await other.locator("#server-status").getByText("Running").waitFor({ timeout: READY });
  await page.getByRole("button", { name: "Reconnect" }).click();
  await state.getByText("Connected", { exact: true }).waitFor({ timeout: READY });
  await page.keyboard.type("hello-again");
  await shows(page, "hello-again");
  await other.getByRole("button", { name: "Reboot" }).click();
  await page.waitForFunction(() => !document.querySelector(".xterm-rows").textContent.includes("hello-again"), null, { timeout: READY });
  await state.getByText("Connected", { exact: true }).waitFor({ timeout: READY }); // by itself

  // The engine's text selectors pass over noscript, so it is found by its place.
  const plain = await visitor(browser, { javaScriptEnabled: false });
  await signIn(plain.page);
  await plain.page.goto(`${home}/console`);
  await plain.page.locator("noscript .notice").waitFor();
  assert.deepEqual(plain.complaints, []);
  await plain.context.close();

  await page.goto(home);
  await page.getByLabel(`Type ${name} to confirm`).fill(name);
  await page.getByRole("button", { name: "Delete server" }).click();
  await page.waitForURL(/\/servers$/);
  assert.deepEqual(complaints, []);
  await context.close();
});
