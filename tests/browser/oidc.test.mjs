// Signing in by a provider (provider.mjs): refused, linked, made, replayed.
//
// Needs a Berth at a name with that provider as "Harbour ID", a person BERTH_EMAIL with BERTH_PASSWORD there, anna@harbour.example, and a
// token of an operator in BERTH_ADMIN.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, fitsPhone, launch, policyHolds, signIn, url, visitor } from "./browser.mjs";

const { BERTH_ADMIN: admin, BERTH_PASSWORD: password, OIDC_ISSUER: issuer } = process.env;
let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

// A visitor who may go to the provider as well.
async function guest() {
  const made = await visitor(browser, {}, [/40[0-9]/, /422/, /googleapis/, new RegExp(issuer)]);
  await made.context.route(`${issuer}/**`, (route) => route.continue());
  return made;
}

// At the provider: says who they are, and that Berth may know.
async function at(page, name) {
  await page.locator("input[name=login]").fill(name);
  await page.locator("input[name=password]").fill("x");
  await page.locator("button[type=submit]").click();
  await page.locator("input[name=login]").waitFor({ state: "detached" });
  await page.locator("button[type=submit]").click();
}

async function by(page, name) {
  await page.goto(`${url}/sign-in`);
  await page.getByRole("link", { name: "Sign in with Harbour ID" }).click();
  await at(page, name);
}

// Where this browser would be sent, without going there.
async function sent(page) {
  const answer = await page.request.get(`${url}/sign-in/provider?next=/account`, { maxRedirects: 0 });
  assert.equal(answer.status(), 303);
  return new URL(answer.headers().location);
}

const told = (page, text) => page.getByRole("alert").getByText(text).waitFor();

async function signUp(mode) {
  const headers = { authorization: `Bearer ${admin}`, "content-type": "application/json" };
  const answer = await fetch(`${url}/admin/v1/settings`, { method: "PUT", headers, body: JSON.stringify({ sign_up: mode }) });
  assert.ok(answer.ok, await answer.text());
}

test("who may not come in is told why", async () => {
  await signUp("off");
  for (const [name, why] of [
    ["stranger", "There is no account for you here"],
    ["newcomer", "does not say that your address is yours"],
    ["anna", "There is an account with this address"],
  ]) {
    const { context, page, complaints } = await guest();
    await by(page, name);
    await told(page, why);
    await page.goto(`${url}/account`);
    await page.waitForURL(/\/sign-in/);
    assert.deepEqual(complaints, []);
    await context.close();
  }
});

test("an account is linked, signs in, and is let go", async () => {
  const { context, page, complaints } = await guest();
  await signIn(page);
  await page.goto(`${url}/account`);
  const card = page.locator("#provider");
  await card.getByLabel("Your password").fill("a wrong password");
  await card.getByRole("button", { name: "Link" }).click();
  await card.getByRole("alert").getByText("not your password").waitFor();
  await card.getByLabel("Your password").fill(password);
  await card.getByRole("button", { name: "Link" }).click();
  await page.getByRole("heading", { name: "Link your account" }).waitFor();
  await accessible(page, "on the way to a link");
  await page.getByRole("link", { name: "Go on" }).click();
  await at(page, "anna");
  await card.getByText("anna@harbour.example").waitFor();
  await accessible(page, "a linked account");
  await fitsPhone(page, "linked-account");

  // In by it; what came back is good once.
  await context.clearCookies({ domain: "localhost" });
  let back;
  page.on("request", (request) => {
    if (request.url().startsWith(`${url}/sign-in/provider/back`)) back = request.url();
  });
  await page.goto(`${url}/sign-in`);
  await policyHolds(page, "sign-in with a provider");
  await page.getByRole("link", { name: "Sign in with Harbour ID" }).click();
  await page.waitForURL(/\/projects\/\d+\/servers$/);
  await context.clearCookies({ domain: "localhost" });
  const used = back;
  await page.goto(used);
  await told(page, "was not begun in this browser");

  // The same code with another sign-in's state; another state; another nonce.
  const fresh = await sent(page);
  const code = new URL(used).searchParams.get("code");
  await page.goto(`${url}/sign-in/provider/back?code=${code}&state=${fresh.searchParams.get("state")}`);
  await told(page, "does not know this sign-in");
  const state = await sent(page);
  state.searchParams.set("state", "x".repeat(22));
  await page.goto(state.href);
  await told(page, "was not begun in this browser");
  const nonce = await sent(page);
  nonce.searchParams.set("nonce", "x".repeat(22));
  await page.goto(nonce.href);
  await told(page, "is of another sign-in");
  await page.goto(`${url}/account`);
  await page.waitForURL(/\/sign-in/);

  await signIn(page);
  await page.goto(`${url}/account`);
  await card.getByLabel("Your password").fill(password);
  await card.getByRole("button", { name: "Remove the link" }).click();
  await card.getByText("Not linked").waitFor();
  assert.deepEqual(complaints, []);
  await context.close();
});

test("an account is made where strangers may have one", async () => {
  await signUp("open");
  const { context, page, complaints } = await guest();
  await by(page, "grace");
  await page.waitForURL(/\/projects\/\d+\/servers$/);
  await page.goto(`${url}/account`);
  await page.locator("#provider").getByText("Your account has no password").waitFor();
  await accessible(page, "an account without a password");
  assert.deepEqual(complaints, []);
  await context.close();
});
