// Passkeys, with a device that Chromium makes up: added, used instead of the password and after it, replayed, removed.
//
// Needs a Berth at a name (BERTH_URL=http://localhost:…) and somebody without a second factor there.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, fitsPhone, launch, picture, policyHolds, signIn, url, visitor } from "./browser.mjs";

const { BERTH_PASSWORD: password } = process.env;
let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

async function signOut(page) {
  await page.context().clearCookies();
  await page.goto(`${url}/sign-in`);
}

test("a passkey's life", async () => {
  const { context, page, complaints } = await visitor(browser, {}, [/422/]);
  const device = await context.newCDPSession(page);
  await device.send("WebAuthn.enable");
  const { authenticatorId } = await device.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });

  await signIn(page);
  await page.goto(`${url}/account`);
  await page.getByRole("link", { name: ": passkeys" }).click();
  await page.getByRole("heading", { name: "No passkey yet" }).waitFor();
  await accessible(page, "no passkeys");
  await policyHolds(page, "passkeys");
  await page.getByLabel("Name", { exact: true }).fill("laptop");
  await page.getByLabel("Your password", { exact: true }).fill("a wrong password");
  await page.getByRole("button", { name: "Add passkey" }).click();
  await page.getByRole("alert").getByText("This is not your password").waitFor();
  await page.getByLabel("Your password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Add passkey" }).click();
  await page.locator("tbody").getByText("laptop").first().waitFor();
  assert.equal(await page.locator("ul.codes li").count(), 10, "recovery codes come with the first");
  await accessible(page, "passkeys");
  await picture(page, "passkeys");
  await fitsPhone(page, "passkeys");
  const { credentials } = await device.send("WebAuthn.getCredentials", { authenticatorId });
  assert.equal(credentials.length, 1);
  assert.ok(credentials[0].isResidentCredential, "it can be found without an address");

  // Signing in by nothing else; what was posted is kept for later.
  let posted;
  page.on("request", (request) => {
    if (request.method() === "POST" && request.url() === `${url}/sign-in/passkey`) posted = new URLSearchParams(request.postData());
  });
  await signOut(page);
  await accessible(page, "sign-in with passkeys");
  await fitsPhone(page, "sign-in-with-passkeys");
  await page.getByRole("button", { name: "Sign in with a passkey" }).click();
  await page.waitForURL(/\/projects\/\d+\/servers$/);

  // The same answer again, from a browser that was asked something else.
  await signOut(page);
  await page.evaluate(async () => fetch("/sign-in/passkey/options", { method: "POST" }));
  const replayed = posted.get("credential");
  await page.evaluate((credential) => {
    const form = document.querySelector("form[data-passkey]");
    form.elements.credential.value = credential;
    form.submit();
  }, replayed);
  await page.getByRole("alert").getByText("used already").waitFor();
  await accessible(page, "a replay");
  await page.goto(`${url}/account`);
  await page.waitForURL(/\/sign-in/);

  // After the password, as second factor.
  await page.getByLabel("E-mail address").fill(process.env.BERTH_EMAIL);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("heading", { name: "One more step" }).waitFor();
  await accessible(page, "one more step");
  await page.getByRole("button", { name: "Use a passkey" }).click();
  await page.waitForURL(`${url}/account`);

  // A name, and the end.
  await page.goto(`${url}/account/passkeys`);
  await page.locator("summary", { hasText: "Change laptop" }).click();
  await page.getByLabel("Name of laptop").fill("old laptop");
  await page.getByRole("button", { name: "Rename" }).click();
  await page.locator("summary", { hasText: "Change old laptop" }).click();
  await accessible(page, "changing a passkey");
  await fitsPhone(page, "changing-a-passkey");
  await page.getByLabel("Your password, to remove old laptop").fill(password);
  await page.getByRole("button", { name: "Remove old laptop" }).click();
  await page.getByRole("heading", { name: "No passkey yet" }).waitFor();

  // The device still has it, and Berth knows it no more.
  await signOut(page);
  await page.getByRole("button", { name: "Sign in with a passkey" }).click();
  await page.getByRole("alert").getByText("not known here").waitFor();
  // A device that has none.
  await device.send("WebAuthn.clearCredentials", { authenticatorId });
  await page.getByRole("button", { name: "Sign in with a passkey" }).click();
  await page.getByRole("alert").getByText("Your device gave no passkey").waitFor();
  assert.deepEqual(complaints, []);
  await context.close();
});
