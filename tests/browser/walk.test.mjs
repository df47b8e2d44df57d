// The life of a tenant, from a stranger's sign-up to an empty project, on a real guest.
//
// Needs a Berth whose sign-up is open and whose mail is kept as files in BERTH_MAILS.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { accessible, fitsPhone, launch, picture, url, visitor } from "./browser.mjs";

const READY = 180_000;
const EMAIL = "ada@tenant.example";
const PASSWORD = "correct horse battery staple";
const COLLEAGUE = "bob@tenant.example";
const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ada@laptop";
const mails = process.env.BERTH_MAILS;
let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

// Asks again until there is an answer.
async function until(what, look) {
  const deadline = Date.now() + READY;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert.ok(Date.now() < deadline, `${what} does not come`);
    await new Promise((go) => setTimeout(go, 100));
  }
}

// The link in the newest mail to this address.
function link(address) {
  return until(`mail to ${address}`, () => {
    const all = readdirSync(mails).filter((name) => name.includes(address)).sort();
    const text = all.length && readFileSync(join(mails, all.at(-1)), "utf8");
    return text && text.split(/\s+/).find((word) => word.startsWith(url));
  });
}

// RFC 6238 with SHA-1, six digits, thirty seconds.
function code(secret) {
  const bits = [...secret].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const count = Buffer.alloc(8);
  count.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const hash = createHmac("sha1", key).update(count).digest();
  const at = hash.at(-1) & 15;
  return String((hash.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

const screen = (page) => page.evaluate(() => document.querySelector(".xterm-rows")?.textContent ?? "");
const shows = (page, text) => page.waitForFunction((wanted) => document.querySelector(".xterm-rows")?.textContent.includes(wanted), text, { timeout: READY });

async function fill(page, fields) {
  for (const [label, value] of Object.entries(fields)) await page.getByLabel(label, { exact: true }).fill(value);
}

async function well(page, what) {
  await accessible(page, what);
  await picture(page, what);
  await fitsPhone(page, what);
}

test("the life of a tenant", { skip: mails ? false : "SKIPPED: BERTH_MAILS names no directory of mails" }, async () => {
  const { context, page, complaints } = await visitor(browser, {}, [/409/, /422/, /xterm.js: Parsing error/]); // what a guest prints while it boots is not always well-formed

  // A stranger makes an account and confirms the address.
  await page.goto(`${url}/sign-in`);
  await page.getByRole("link", { name: "Make an account" }).click();
  await well(page, "sign-up");
  await fill(page, { "Your name": "Ada", "E-mail address": EMAIL, Password: PASSWORD });
  await page.getByRole("button", { name: "Make account" }).click();
  await page.getByRole("heading", { name: "Look into your mail" }).waitFor();
  await page.goto(await link(EMAIL));
  await page.getByRole("button", { name: "Confirm" }).click();
  await page.waitForURL(/\/projects\/\d+\/servers$/);
  await well(page, "no-servers");

  // A second factor, and signing in with it.
  await page.goto(`${url}/account`);
  await well(page, "account");
  await page.getByRole("link", { name: /second factor/ }).click();
  await page.getByRole("button", { name: "Turn it on" }).click();
  const secret = await page.locator("#totp-secret").textContent();
  await well(page, "second-factor");
  const first = code(secret);
  await page.getByLabel("The code that it shows now").fill(first);
  await page.getByRole("button", { name: "Turn it on" }).click();
  assert.equal(await page.locator(".codes code").count(), 10, "recovery codes are shown");
  await page.getByRole("button", { name: "Sign out" }).click();
  await fill(page, { "E-mail address": EMAIL, Password: PASSWORD });
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.waitForURL(/\/sign-in\/code/);
  await well(page, "sign-in-code");
  const next = await until("another code", () => code(secret) !== first && code(secret)); // no code twice
  await page.locator("#code").fill(next);
  await page.getByRole("button", { name: "Go on" }).click();
  await page.waitForURL(/\/projects\/\d+\/servers$/);

  // A project, a colleague, a key.
  await page.goto(`${url}/account`);
  await page.locator("#project").fill("harbour");
  await page.getByRole("button", { name: "Make project" }).click();
  await page.waitForURL(/\/projects\/\d+\//);
  const project = page.url().match(/.*\/projects\/\d+/)[0];
  await page.goto(`${project}/members`);
  await fill(page, { "E-mail address": COLLEAGUE });
  await page.getByRole("button", { name: "Invite" }).click();
  await well(page, "members");
  const colleague = await visitor(browser);
  await colleague.page.goto(await link(COLLEAGUE));
  await fill(colleague.page, { "Your name": "Bob", Password: PASSWORD });
  await colleague.page.getByRole("button", { name: "Make account and join" }).click();
  await colleague.page.waitForURL(`${project}/servers`);
  assert.deepEqual(colleague.complaints, []);
  await page.goto(`${project}/keys`);
  await page.getByLabel("Public key").fill(KEY);
  await page.getByRole("button", { name: "Add key" }).click();
  await page.getByText("ada@laptop").waitFor();

  // A server, with a password so that the console can be used; the colleague sees it come.
  await page.goto(`${project}/servers/new`);
  await page.getByLabel("Name", { exact: true }).fill("web");
  for (const box of await page.locator("input[name=ssh_keys]:checked").all()) await box.uncheck();
  await page.getByRole("button", { name: "Create server" }).click();
  await page.waitForURL(/\/servers\/\d+$/);
  const home = page.url();
  const password = await page.locator("#password code").textContent();
  await page.locator("#server-status").getByText("Running").waitFor({ timeout: READY });
  await colleague.page.locator("#servers tbody tr", { hasText: "web" }).getByText("Running").waitFor({ timeout: READY });
  await colleague.context.close();

  // The console: a login, a command and what it prints, and a load that the graphs show.
  await page.getByRole("link", { name: "Console" }).click();
  await page.locator("#console-state").getByText("Connected", { exact: true }).waitFor({ timeout: READY });
  await shows(page, "login:");
  await page.keyboard.type("root\n");
  await shows(page, "Password:");
  await page.keyboard.type(`${password}\n`);
  await shows(page, "root@web");
  await page.keyboard.type("echo $((6 * 7))-is-the-answer\n");
  await shows(page, "42-is-the-answer");
  assert.ok(!(await screen(page)).includes(password), "a password is not echoed");
  await picture(page, "console-of-a-guest");
  await page.keyboard.type("timeout 120 sh -c 'while :; do :; done' & nproc\n");
  await page.goto(home);
  const cpu = page.locator("#graph-cpu .now b");
  await until("the load in the graph", async () => parseFloat(await cpu.textContent()) > 50);
  await well(page, "server-under-load");

  // A firewall from a template: it holds, and says what it met.
  await page.goto(`${project}/firewalls`);
  await well(page, "no-firewalls");
  await page.getByRole("link", { name: "Create the first firewall" }).click();
  await page.getByLabel("Name of the firewall").fill("ssh-only");
  await page.getByText("Templates").click();
  await page.getByRole("button", { name: /SSH/i }).first().click();
  await page.locator("#rule-0").waitFor();
  await well(page, "firewall-editor");
  await page.getByRole("button", { name: "Create firewall" }).click();
  await page.waitForURL(/\/firewalls\/\d+/);
  await page.getByLabel("To a server").fill("web");
  await page.getByRole("button", { name: "Apply to server" }).click();
  await page.locator("#servers").getByRole("link", { name: "web" }).waitFor();
  await well(page, "firewall");

  // Another plan, without a restart.
  await page.goto(home);
  const plan = page.getByLabel("Plan");
  await plan.selectOption({ index: (await plan.locator("option").count()) - 1 });
  await page.getByRole("button", { name: "Resize server" }).click();
  await page.locator("#server-activity").getByText(/Resize|Change/).first().waitFor({ timeout: READY });

  // A token, and what it is good for.
  await page.goto(`${project}/tokens`);
  await page.getByLabel("Name").fill("script");
  await page.getByRole("button", { name: "Make token" }).click();
  const token = await page.locator("#new-token").textContent();
  const answer = await fetch(`${url}/v1/servers`, { headers: { authorization: `Bearer ${token}` } });
  assert.deepEqual((await answer.json()).servers.map((s) => s.name), ["web"]);

  // What was done is in the trail.
  await page.goto(`${project}/audit`);
  await page.getByText("server created").first().waitFor();
  await well(page, "audit");

  await page.goto(home);
  await page.getByLabel("Type web to confirm").fill("web");
  await page.getByRole("button", { name: "Delete server" }).click();
  await page.waitForURL(`${project}/servers`);
  await page.locator("#servers tbody tr", { hasText: "web" }).waitFor({ state: "detached", timeout: READY });

  // The end: what is kept is taken along, the project is left to the colleague, and the account is closed.
  const kept = await (await page.request.get(`${url}/account/export`)).text();
  assert.ok(kept.includes(EMAIL) && kept.includes("harbour") && !kept.includes(secret), "the export is about Ada");
  const close = async () => {
    await page.goto(`${url}/account`);
    await page.locator("#close-password").fill(PASSWORD);
    await page.getByLabel(`Type ${EMAIL} to confirm`).fill(EMAIL);
    await page.getByRole("button", { name: "Close account" }).click();
  };
  await close();
  await page.locator("#close").getByRole("alert").waitFor(); // its only owner cannot leave others behind
  await page.goto(`${project}/members`);
  await page.getByLabel(`Role of ${COLLEAGUE}`).selectOption("owner");
  await page.getByRole("button", { name: `Change the role of ${COLLEAGUE}` }).click();
  await page.getByRole("status").getByText("role was changed").waitFor();
  await close();
  await page.getByRole("heading", { name: "Your account is closed" }).waitFor();
  await page.goto(`${url}/account`);
  await page.waitForURL(/\/sign-in/);
  await fill(page, { "E-mail address": EMAIL, Password: PASSWORD });
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("alert").getByText("The address or the password is wrong").waitFor();
  assert.deepEqual(complaints, []);
  await context.close();
});
