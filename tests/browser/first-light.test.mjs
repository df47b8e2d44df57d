// The dashboard in a browser: a server's life without a reload, and the same form without script.
//
// Needs a running Berth with a host that has room, and an image:
//   BERTH_URL=http://127.0.0.1:8080 BERTH_EMAIL=… BERTH_PASSWORD=… [BERTH_SCREENSHOTS=dir] npm test
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, fitsPhone, launch, picture, policyHolds, signIn, url, visitor } from "./browser.mjs";

// A create of the first VPS of a real host may wait for its image.
const READY = 120_000;
const suffix = Date.now().toString(36);
let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

// Counts navigations of the main frame, to show that what moves moves without one.
function navigations(page) {
  let count = 0;
  page.on("framenavigated", (frame) => frame === page.mainFrame() && count++);
  return () => count;
}

async function deleteServer(page, name) {
  await page.getByLabel(`Type ${name} to confirm`).fill(name);
  await page.getByRole("button", { name: "Delete server" }).click();
  await page.waitForURL(/\/servers$/);
}

test("a wrong password is told, and nothing else", async () => {
  const { context, page, complaints } = await visitor(browser, {}, [/422/]);
  await page.goto(`${url}/projects/1/servers?x=1`);
  assert.match(page.url(), /\/sign-in\?next=/);
  await page.getByLabel("E-mail address").fill("nobody@berth.example");
  await page.getByLabel("Password").fill("not the password");
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("alert").getByText("The address or the password is wrong").waitFor();
  assert.equal(await page.getByLabel("E-mail address").inputValue(), "nobody@berth.example");
  assert.equal(await page.getByLabel("Password").inputValue(), "");
  await accessible(page, "sign-in");
  await policyHolds(page, "sign-in");
  await fitsPhone(page, "sign-in");
  assert.deepEqual(complaints, []);
  await context.close();
});

test("a server is created, runs, and goes, without a reload", async () => {
  const { context, page, complaints } = await visitor(browser, { permissions: ["clipboard-read", "clipboard-write"] });
  await signIn(page);
  await accessible(page, "servers");
  await policyHolds(page, "servers");

  await page.getByRole("link", { name: "Create server" }).or(page.getByRole("link", { name: "Create the first server" })).first().click();
  const name = `light-${suffix}`;
  const moved = navigations(page);
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.locator(".snippet.cli pre").getByText(`--name ${name}`).waitFor(); // the summary follows the form
  assert.equal(moved(), 0, "the summary is renewed without a navigation");
  await accessible(page, "create");
  await picture(page, "create");
  await fitsPhone(page, "create");

  await page.getByRole("button", { name: "Create server" }).click();
  await page.waitForURL(/\/servers\/\d+$/);
  const password = await page.locator("#password code").textContent({ timeout: 2_000 }).catch(() => null);
  const home = page.url();
  const after = navigations(page);
  await page.locator("#server-status").getByText("Running").waitFor({ timeout: READY });
  await page.locator("#server-activity").getByText("Create server").waitFor();
  assert.equal(after(), 0, "it became running without a navigation");
  assert.equal(await page.locator("#server-graphs figure svg[role=img]").count(), 7);
  await page.locator("#graph-cpu").hover();

  await page.getByRole("button", { name: "Copy address" }).click();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^\d+\.\d+\.\d+\.\d+$/);
  if (password) {
    assert.match(password, /^\S{16,}$/);
    await page.reload();
    assert.equal(await page.locator("#password").count(), 0, "the password is shown once");
  }
  await accessible(page, "server");
  await picture(page, "server");
  await fitsPhone(page, "server");

  // Another page shows the same life.
  const list = await context.newPage();
  await list.goto(home.replace(/\/\d+$/, ""));
  const row = list.locator("#servers tbody tr", { hasText: name });
  await row.getByText("Running").waitFor();
  await picture(list, "servers");
  await fitsPhone(list, "servers");
  const still = navigations(list);
  const watcher = await context.newPage();
  await watcher.goto(home);
  await watcher.locator("#server-status").getByText("Running").waitFor();

  await page.getByRole("link", { name: "6 hours" }).click();
  await page.getByRole("button", { name: "Delete server" }).and(page.locator(":disabled")).waitFor();
  await deleteServer(page, name);
  await row.waitFor({ state: "detached", timeout: READY });
  assert.equal(still(), 0, "it went from the list without a navigation");
  await watcher.getByRole("heading", { name: "This server is gone" }).waitFor({ timeout: READY });
  await page.locator("#servers tbody tr", { hasText: name }).waitFor({ state: "detached", timeout: READY });
  assert.deepEqual(complaints, []);
  await context.close();
});

test("the form works without script", async () => {
  const { context, page, complaints } = await visitor(browser, { javaScriptEnabled: false }, [/422/]);
  await signIn(page);
  await page.goto(page.url().replace(/\/servers$/, "/servers/new"));
  const name = `plain-${suffix}`;

  await page.getByLabel("Name", { exact: true }).fill("not a name");
  await page.getByText("Labels and user data").click();
  await page.getByLabel("Labels").fill("env=test");
  await page.getByRole("button", { name: "Create server" }).click();
  await page.locator("#name-error").waitFor();
  assert.equal(await page.getByLabel("Name", { exact: true }).inputValue(), "not a name");
  assert.equal(await page.getByLabel("Labels").inputValue(), "env=test");

  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByRole("button", { name: "Update price and command" }).click();
  await page.locator(".snippet.cli pre").getByText("--label env=test").waitFor();
  await page.getByRole("button", { name: "Create server" }).click();
  await page.waitForURL(/\/servers\/\d+$/);
  await page.getByText("env=test").waitFor();

  const deadline = Date.now() + READY;
  while (!(await page.locator("#server-status").textContent()).includes("Running")) {
    assert.ok(Date.now() < deadline, "it did not become running");
    await page.reload();
  }
  await page.getByLabel(`Type ${name} to confirm`).fill("another");
  await page.getByRole("button", { name: "Delete server" }).click();
  await page.locator("#confirm-error").waitFor();
  await deleteServer(page, name);
  assert.deepEqual(complaints, []);
  await context.close();
});

test("keys and tokens", async () => {
  const { context, page, complaints } = await visitor(browser, {}, [/422/]);
  await signIn(page);
  await page.getByRole("link", { name: "SSH keys" }).click();
  await page.getByLabel("Public key").fill("ssh-rsa nonsense");
  await page.getByRole("button", { name: "Add key" }).click();
  await page.locator("#public_key-error").waitFor();
  assert.equal(await page.getByLabel("Public key").inputValue(), "ssh-rsa nonsense");
  await accessible(page, "keys");
  await fitsPhone(page, "keys");

  await page.getByRole("link", { name: "API tokens" }).click();
  await page.getByLabel("Name").fill(`browser-${suffix}`);
  await page.getByRole("radio", { name: "read and write" }).check();
  await page.getByRole("button", { name: "Make token" }).click();
  const token = await page.locator("#new-token").textContent();
  assert.match(token, /^[A-Za-z0-9]{64}$/);
  await accessible(page, "tokens");
  await fitsPhone(page, "tokens");
  await page.reload();
  assert.equal(await page.locator("#new-token").count(), 0, "the token is shown once");
  const row = page.locator("tr", { hasText: `browser-${suffix}` });
  await row.locator("summary").click();
  await row.getByRole("button", { name: "Delete this token" }).click();
  await page.getByRole("status").getByText("does not work any more").waitFor();
  assert.equal(await page.locator("tr", { hasText: `browser-${suffix}` }).count(), 0);
  await page.reload();
  assert.equal(await page.getByText("does not work any more").count(), 0, "a notice is told once");
  assert.deepEqual(complaints, []);
  await context.close();
});

test("the operator's pages", async () => {
  const { context, page, complaints } = await visitor(browser, {}, [/404/]);
  await signIn(page);
  await page.getByRole("link", { name: "Hosts", exact: true }).click();
  await page.locator("#hosts").getByText("Online").first().waitFor();
  await accessible(page, "hosts");
  await picture(page, "hosts");
  await fitsPhone(page, "hosts");
  await page.locator("#hosts h2 a").first().click();
  await page.getByRole("heading", { name: "What this host lacks" }).waitFor();
  await accessible(page, "host");
  await fitsPhone(page, "host");
  await page.getByRole("button", { name: "Cordon" }).click();
  await page.getByText("cordoned").first().waitFor();
  await page.getByRole("button", { name: "Take new servers again" }).click();
  await page.getByRole("button", { name: "Cordon" }).waitFor();
  await page.getByRole("link", { name: "All servers" }).click();
  await accessible(page, "fleet-servers");
  await fitsPhone(page, "fleet-servers");
  for (const [name, path] of [
    ["Overview", "/fleet"],
    ["Projects", "/fleet/projects"],
    ["People", "/fleet/people"],
    ["Plans", "/fleet/plans"],
    ["Locations", "/fleet/locations"],
    ["Images", "/fleet/images"],
    ["Address pools", "/fleet/pools"],
    ["Settings", "/fleet/settings"],
  ]) {
    await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name, exact: true }).click();
    await page.waitForURL(`${url}${path}`);
    await accessible(page, path);
    await fitsPhone(page, path.slice(1).replace("/", "-"));
    const first = page.locator("tbody a.name").first(); // its page, where the list has one
    if (["/fleet", "/fleet/settings"].includes(path) || (await first.count()) === 0) continue;
    await first.click();
    await page.waitForURL(`${url}${path}/*`);
    await accessible(page, `${path}/…`);
    await fitsPhone(page, `${path.slice(7)}-one`);
  }

  await page.goto(`${url}/projects/999999/servers`);
  await page.getByRole("heading", { name: "There is nothing here" }).waitFor();
  await page.getByText("Correlation id").waitFor();
  await accessible(page, "message");

  await page.goto(`${url}/`);
  await page.getByRole("button", { name: "Dark colours" }).click();
  await page.getByRole("heading", { name: "Servers" }).waitFor();
  assert.equal(await page.locator("html").getAttribute("data-theme"), "dark");
  await page.getByRole("button", { name: "System colours" }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL(/\/sign-in$/);
  await page.goto(`${url}/fleet/hosts`);
  assert.match(page.url(), /\/sign-in\?next=\/fleet\/hosts$/);
  assert.deepEqual(complaints, []);
  await context.close();
});
