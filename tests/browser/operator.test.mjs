// An operator's day, with real hosts and a tenant's real guest.
//
// BERTH_HANDS is a directory in which the operator's hands work: a file enrol-NAME with a command has a machine run it.
import assert from "node:assert/strict";
import { existsSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { accessible, fitsPhone, launch, picture, signIn, url, visitor } from "./browser.mjs";

const READY = 180_000;
const hands = process.env.BERTH_HANDS;
let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

async function well(page, what) {
  await accessible(page, what);
  await picture(page, what);
  await fitsPhone(page, what);
}

// Has a machine run the command, and returns when it has.
async function run(name, command) {
  const file = join(hands, `enrol-${name}`);
  writeFileSync(`${file}.part`, command);
  renameSync(`${file}.part`, file);
  while (existsSync(file)) await new Promise((go) => setTimeout(go, 100));
}

async function fill(page, fields) {
  for (const [label, value] of Object.entries(fields)) await page.getByLabel(label, { exact: true }).fill(value);
}

test("an operator's day", { skip: hands ? false : "SKIPPED: BERTH_HANDS names no directory" }, async () => {
  const { context, page, complaints } = await visitor(browser);
  await signIn(page);

  // Two machines: one real, one simulated.
  for (const name of ["quay-1", "sim-1"]) {
    await page.goto(`${url}/fleet/hosts`);
    await page.locator("#enrol").getByLabel("Name").fill(name);
    await page.getByRole("button", { name: "Make enrolment token" }).click();
    const command = await page.locator(".secret code").textContent();
    await run(name, command);
    await page.locator("#hosts section", { hasText: name }).getByText("Online").waitFor({ timeout: READY });
  }
  await well(page, "hosts-online");

  // A plan and a pool.
  await page.goto(`${url}/fleet/plans/new`);
  await fill(page, { Name: "pier", "Net price a month": "4.50", CPU: "1", Memory: "0.5", Disk: "4" });
  await well(page, "plan-new");
  await page.getByRole("button", { name: "Make plan" }).click();
  await page.waitForURL(/\/fleet\/plans\/\d+$/);
  await well(page, "plan");
  await page.goto(`${url}/fleet/pools`);
  await fill(page, { Name: "more", Network: "10.155.0.0/24" });
  await page.getByRole("button", { name: "Make pool" }).click();
  await page.waitForURL(/\/fleet\/pools\/\d+$/);
  await page.getByText("10.155.0.0/24").first().waitFor();
  await well(page, "pool");
  const pool = page.url();
  await page.goto(`${url}/fleet/pools`);
  await well(page, "pools");

  // A project is suspended and let go on; its guest stops and starts again.
  await page.goto(`${url}/fleet/projects`);
  await well(page, "projects");
  await page.getByRole("link", { name: "e2e" }).click();
  const project = page.url();
  const guest = page.getByRole("row", { name: /tenant-web/ });
  await guest.getByText("Running").waitFor({ timeout: READY });
  await page.getByLabel(/Reason/).fill("unpaid since August");
  const confirm = page.getByLabel(/to confirm/);
  if (await confirm.count()) await confirm.fill("e2e");
  await page.getByRole("button", { name: /Suspend/ }).click();
  await page.getByText("unpaid since August").first().waitFor();
  await becomes(page, project, guest, "Off");
  await well(page, "project-suspended");
  await page.getByRole("button", { name: /Lift|Resume/ }).click();
  await becomes(page, project, guest, "Running");

  // A host is cordoned and takes servers again.
  await page.goto(`${url}/fleet/hosts`);
  await page.getByRole("link", { name: "quay-1" }).click();
  const reason = page.getByLabel(/Reason|Why/);
  if (await reason.count()) await reason.fill("a new disk");
  await page.getByRole("button", { name: "Cordon" }).click();
  await page.getByText("a new disk").first().waitFor();
  await well(page, "host-cordoned");
  await page.getByRole("button", { name: "Take new servers again" }).click();
  await page.getByRole("button", { name: "Cordon" }).waitFor();

  // Tenants are told something; the operator's own pages show it too.
  await page.goto(`${url}/fleet/announcements`);
  await fill(page, { Title: "Maintenance on Sunday", "Shown until (UTC)": "2099-01-01T00:00" });
  await page.locator("textarea").fill("The network is away for a minute.");
  await page.getByRole("button", { name: "Tell it" }).click();
  await page.getByText("Maintenance on Sunday").first().waitFor();
  await well(page, "announcements");

  for (const path of ["", "/servers", "/people", "/plans", "/locations", "/images", "/addresses", "/settings"]) {
    await page.goto(`${url}/fleet${path}`);
    await well(page, `fleet${path.replace("/", "-")}-page`);
  }

  // All of it is in the trail.
  await page.goto(`${url}/fleet/audit`);
  for (const event of ["host.created", "plan.created", "pool.created", "project.changed", "announcement.created"]) {
    await page.goto(`${url}/fleet/audit?event=${event}`);
    await page.getByText(event.replace(".", " ")).first().waitFor();
  }
  // The pool that nobody uses goes again.
  await page.goto(pool);
  await page.getByLabel("Type more to confirm").fill("more");
  await page.getByRole("button", { name: "Delete pool" }).click();
  await page.waitForURL(/\/fleet\/pools$/);
  assert.equal(await page.getByText("10.155.0.0/24").count(), 0);
  assert.deepEqual(complaints, []);
  await context.close();
});

// Looks again until the row says this: the page is one of those that do not move by themselves.
async function becomes(page, address, row, state) {
  const deadline = Date.now() + READY;
  for (;;) {
    await page.goto(address);
    if ((await row.textContent()).includes(state)) return;
    assert.ok(Date.now() < deadline, `it does not become ${state}`);
  }
}
