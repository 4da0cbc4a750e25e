// Drives the console in a real Chromium. Arguments: one JSON object, `task` names the function below. Prints JSON.
import { chromium } from "playwright-core";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const given = JSON.parse(process.argv[2]);
const noise = [];
const pending = new Set();

// Whatever a browser complains about: a blocked script or style, an exception, a failed request.
function listen(page) {
  page.on("request", (request) => pending.add(request));
  page.on("requestfinished", (request) => pending.delete(request));
  page.on("requestfailed", (request) => pending.delete(request));
  page.on("console", (message) => message.type() === "error" && noise.push(message.text()));
  page.on("pageerror", (error) => noise.push(String(error)));
  page.on("requestfailed", (request) => noise.push(`${request.url()} failed`));
}

// Going on while something is still being fetched, such as the icon, would break that off.
async function settled(page) {
  await page.waitForLoadState("networkidle");
  while (pending.size) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function signIn(page, path) {
  await page.goto(given.url + path);
  // The field has the focus by itself, but not before the page has been drawn.
  await page.locator("[name='token']:focus").waitFor();
  await page.keyboard.type(given.token);
  await Promise.all([page.waitForURL((url) => !url.pathname.endsWith("/sign-in")), page.keyboard.press("Enter")]);
}

// Tab until an element like this has the focus, as somebody without a mouse does.
async function tabTo(page, selector, text = "") {
  for (let count = 0; count < 150; count++) {
    await page.keyboard.press("Tab");
    const there = await page.evaluate(
      ([selector, text]) => {
        const focused = document.activeElement;
        return focused.matches(selector) && focused.textContent.includes(text);
      },
      [selector, text],
    );
    if (there) return;
  }
  throw new Error(`no Tab leads to ${selector} ${text}`);
}

// By the company's provider: there, back, and to the page that was wanted.
async function signInWith(page) {
  await page.goto(given.url + given.path);
  await tabTo(page, "a", given.link);
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.origin === given.url && url.pathname === given.path);
  return { who: await page.locator(".who bdi").innerText(), page: await page.locator("main").innerText() };
}

async function answerWithChanges(page) {
  await signIn(page, `/console/approvals/${given.question}`);
  await tabTo(page, "summary", "Approve with changes");
  await page.keyboard.press("Enter");
  await tabTo(page, "[name='arg.subject']");
  await page.keyboard.press("Control+A");
  await page.keyboard.type(given.subject);
  await tabTo(page, "#edit-note");
  if (given.javascript) await page.locator("#checked:has-text('Send an email')").waitFor();
  const checked = await page.locator("#checked").innerText();
  await page.keyboard.type("read and changed");
  await tabTo(page, "button", "Approve with these changes");
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  return { checked, page: await page.locator("main").innerText() };
}

async function approve(page) {
  await signIn(page, "/console/");
  await tabTo(page, `a[href$='${given.question}']`);
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  await tabTo(page, "button", "Approve");
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  return { page: await page.locator("main").innerText() };
}

// From the inbox: yes to the first, no to the second, nothing to the others.
async function answerTogether(page) {
  const [first, second] = given.questions;
  await signIn(page, "/console/");
  await tabTo(page, `a.what[href$='${first}/together']`);
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  await choose(page, first, 1);
  await choose(page, second, 2);
  await tabTo(page, "button", "Answer as chosen");
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  return { page: await page.locator("main").innerText() };
}

// A group of radio buttons is one stop of Tab; the arrow keys choose.
async function choose(page, question, downwards) {
  await tabTo(page, `[name='answer.${question}']`);
  for (let count = 0; count < downwards; count++) await page.keyboard.press("ArrowDown");
}

async function refresh(page) {
  await signIn(page, "/console/");
  const before = await page.locator("#inbox a.what").count();
  await tabTo(page, "a.what");
  await page.evaluate(() => (window.stays = true));
  await fetch(given.ask.url, { method: "POST", headers: given.ask.headers, body: given.ask.body });
  await page.evaluate(() => htmx.trigger("#inbox", "refresh"));
  await page.locator(`#inbox a.what >> nth=${before}`).waitFor();
  return { before, focused: await page.evaluate(() => window.stays && document.activeElement.matches("a.what")) };
}

async function look(page) {
  const found = {};
  const sizes = { desktop: { width: 1280, height: 860 }, phone: { width: 390, height: 844 } };
  if (given.path) await signIn(page, given.path);
  for (const [name, path] of Object.entries(given.pages)) {
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      for (const [size, viewport] of Object.entries(sizes)) {
        await page.setViewportSize(viewport);
        await settled(page);
        await page.goto(given.url + path);
        await page.evaluate(() => document.querySelectorAll("details.more").forEach((each) => (each.open = true)));
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
        const told = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        found[`${name} ${colorScheme} ${size}`] = [
          ...told.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html).join(" | ")}`),
          ...(wide > 0 ? [`scrolls sideways by ${wide} px`] : []),
        ];
        await page.evaluate(() => document.querySelectorAll("details.more").forEach((each) => (each.open = false)));
        const file = `${given.shots}/console-${name}-${size}${colorScheme === "dark" ? "-dark" : ""}.png`;
        if (given.shots) await page.screenshot({ path: file, fullPage: true });
      }
    }
  }
  return { found };
}

const tasks = { signInWith, answerWithChanges, approve, answerTogether, refresh, look };
const browser = await chromium.launch({
  executablePath: given.chromium,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
try {
  const context = await browser.newContext({ javaScriptEnabled: given.javascript ?? true });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  listen(page);
  const result = await tasks[given.task](page);
  console.log(JSON.stringify({ ...result, noise }));
} finally {
  await browser.close();
}
