// A Chromium that talks to nobody but the page under test, and watches what no test may overlook: errors on the console,
// violations of the content security policy, requests to another origin, findings of axe.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AxeBuilder } from "@axe-core/playwright";
import csp from "csp_evaluator/dist/evaluator.js";
import { CspParser } from "csp_evaluator/dist/parser.js";
import { chromium } from "playwright-core";

export const url = (process.env.BERTH_URL ?? "http://127.0.0.1:8080").replace(/\/$/, "");
const pictures = process.env.BERTH_SCREENSHOTS;

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

// A context with its watchers. `complaints` must be empty at the end; the given patterns are expected.
export async function visitor(browser, options = {}, expected = []) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  const complaints = [];
  const complain = (text) => expected.some((pattern) => pattern.test(text)) || complaints.push(text);
  await context.route("**/*", (route) => {
    if (new URL(route.request().url()).origin === new URL(url).origin) return route.continue();
    complain(`request to another origin: ${route.request().url()}`);
    return route.abort();
  });
  context.on("page", (page) => {
    page.on("console", (message) => message.type() === "error" && complain(`console: ${message.text()} ${message.location().url}`));
    page.on("pageerror", (error) => complain(`script: ${error.message}`));
  });
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (e) =>
      console.error(`CSP: ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`),
    );
  });
  return { context, page: await context.newPage(), complaints };
}

export async function signIn(page) {
  const { BERTH_EMAIL: email, BERTH_PASSWORD: password } = process.env;
  assert.ok(email && password, "BERTH_EMAIL and BERTH_PASSWORD say who signs in");
  await page.goto(`${url}/sign-in`);
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.waitForURL(/\/(projects\/\d+\/servers|fleet)$/);
}

// No serious finding, in light and in dark.
export async function accessible(page, what) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    // Only colours differ in the dark.
    const axe = new AxeBuilder({ page });
    const { violations } = await (colorScheme === "dark" ? axe.withRules(["color-contrast"]) : axe).analyze();
    const serious = violations.filter((v) => ["serious", "critical"].includes(v.impact));
    const told = serious.map((v) => `${v.id}: ${v.help}\n${v.nodes.map((n) => `  ${n.html}\n  ${n.failureSummary}`).join("\n")}`);
    assert.deepEqual(told, [], `${what} in ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: null, reducedMotion: null });
}

// What a published evaluator holds against the page's content security policy. A "maybe" is about files that tenants could
// have put on this origin, and there are none.
const MAYBE = 50;
export async function policyHolds(page, what) {
  const answer = await page.request.get(page.url());
  const findings = new csp.CspEvaluator(new CspParser(answer.headers()["content-security-policy"]).csp).evaluate();
  const bad = findings.filter((f) => f.severity < MAYBE);
  assert.deepEqual(bad.map((f) => `${f.directive}: ${f.description}`), [], what);
}

// Has the server restarted, and returns when it is back.
export async function restartServer() {
  const file = join(process.env.BERTH_RESTART, "now");
  writeFileSync(file, "");
  while (existsSync(file)) await new Promise((go) => setTimeout(go, 50));
}

// Nothing may be cut off or need scrolling to the side on a phone.
export async function fitsPhone(page, what) {
  const wide = page.viewportSize();
  await page.setViewportSize({ width: 360, height: 740 });
  const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(over <= 0, `${what} is ${over}px too wide for a phone`);
  await picture(page, what, 360);
  await page.setViewportSize(wide);
}

export async function picture(page, what, width = 1280) {
  if (!pictures) return;
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: join(pictures, `${what}-${width}.png`), animations: "disabled" });
}
