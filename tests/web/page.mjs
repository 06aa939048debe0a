// Uses the page as a person would, in Chromium, and prints what happened as JSON.
//
//     node page.mjs < task.json     task: { address, chromium, camera, folder, photos, large }
//
// `photos` are files to choose, `large` is one of 24 megapixels, and `camera` is a video for the camera to show. Pictures of
// the page go to `folder`. When the page is loaded, the script prints "loaded" and waits for a line; then it needs no server.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const task = JSON.parse((await lines.next()).value);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const report = { troubles: [], requests: [], axe: {}, screens: [] };
const camera = ["device-for-media-stream", "ui-for-media-stream"].map((what) => `--use-fake-${what}`);
const browser = await chromium.launch({
  executablePath: task.chromium,
  args: ["--no-sandbox", ...camera, `--use-file-for-fake-video-capture=${task.camera}`],
});

// A browser without WebAssembly.
const poor = await browser.newPage();
await poor.addInitScript(() => delete globalThis.WebAssembly);
await poor.goto(task.address);
report.withoutWebAssembly = await said(poor, /WebAssembly/);
await poor.close();

const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
page.on("console", (message) => report.troubles.push(message.text()));
page.on("pageerror", (error) => report.troubles.push(error.message));
await page.goto(task.address);
report.ready = await said(page, /Ready|cannot/);
report.isIsolated = await page.evaluate(() => crossOriginIsolated);
page.on("request", (request) => request.url().startsWith("blob:") || report.requests.push(request.url()));
console.log("loaded");
await lines.next();

await look("empty");
await page.setInputFiles("#files", task.photos);
await settled();
report.wide = await savedJson();
report.status = {};
for (const row of await page.locator("#photos button").all()) {
  const name = await row.getAttribute("title");
  await row.click();
  report.status[name] = await said(page, new RegExp(`^${name.replace(".", "\\.")}: `));
}
await page.click('[title="twelve.png"]');
await said(page, /^twelve/);
report.label = await page.getAttribute("#stage", "aria-label");
report.rows = await page.locator("#faces tr").count();
report.detail = await page.textContent("#detail");
report.picture = await saved("#save-picture");
for (const scheme of ["light", "dark"]) {
  await page.emulateMedia({ colorScheme: scheme });
  for (const [name, width, height] of [["desktop", 1280, 900], ["phone", 390, 844]]) {
    await page.setViewportSize({ width, height });
    await look(`${name}-${scheme}`);
  }
}
await page.setViewportSize({ width: 1280, height: 900 });

// By keyboard alone: to the last threshold, up to its end, then back by the reset button.
report.focus = [];
await page.evaluate(() => document.activeElement.blur());
await page.focus("#files");
for (let i = 0; i < 20; i++) {
  report.focus.push(await page.evaluate(() => document.activeElement.id || document.activeElement.title));
  await page.keyboard.press("Tab");
}
await page.focus("#threshold-2");
await page.keyboard.press("End");
await settled();
report.strict = await page.textContent("#status");
await page.focus("#reset");
await page.keyboard.press("Enter");
await settled();
report.reset = await page.textContent("#status");
await page.selectOption("#model", { label: "gluon-4" });
await settled();
report.gluon = await savedJson();
report.licence = await page.textContent("#licence");

// A photo dropped on the page, and one of 24 megapixels whose work is broken off by a new setting.
const bytes = readFileSync(task.photos.find((path) => path.endsWith("/one.png"))).toString("base64");
await page.evaluate(async (text) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], "dropped.png", { type: "image/png" }));
  for (const type of ["dragenter", "dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}, bytes);
report.dropped = await said(page, /^dropped.png: (no|\d+) face/);
await page.setInputFiles("#files", task.large);
await page.waitForSelector("#progress:not([hidden])");
report.progress = await page.textContent("#status");
await page.fill("#min-face", "300");
await said(page, /^large.jpg: (no|\d+) face/);
report.large = await savedJson(false);

// The camera.
await page.fill("#min-face", "20");
await page.click("#camera");
report.camera = await said(page, /^Camera: [1-9]|cannot/);
await page.waitForTimeout(1500);
report.cameraDetail = await page.textContent("#detail");
report.cameraJson = await savedJson();
await look("camera");
await page.click("#camera");
report.kept = await said(page, /^camera .*: (no|\d+) face/);
report.camera2 = await page.textContent("#camera");
await browser.close();
console.log(JSON.stringify(report));
process.exit(0);

/** Wait until the page says something, and return it. */
async function said(page, pattern) {
  const matches = ([source]) => new RegExp(source).test(document.getElementById("status").textContent);
  await page.waitForFunction(matches, [pattern.source], { timeout: 120_000 });
  return page.textContent("#status");
}

/** Wait until there is a result for every photo. */
async function settled() {
  const areDone = () => [...document.querySelectorAll("#photos .count")].every(({ textContent }) => textContent !== "…");
  await page.waitForFunction(areDone, null, { timeout: 120_000 });
}

/** Take a picture of the page, and let axe look for what hinders people. */
async function look(name) {
  const path = `${task.folder}/${name}.png`;
  await page.screenshot({ path, fullPage: true });
  report.screens.push(path);
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run());
  const width = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  report.axe[name] = violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map((node) => node.html).join(" ")}`);
  if (width > 0) report.axe[name].push(`the page is ${width} pixels too wide`);
}

/** Press a button that saves a file; returns its name and its path. */
async function saved(button) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
  const path = `${task.folder}/${download.suggestedFilename()}`;
  await download.saveAs(path);
  return { name: download.suggestedFilename(), path };
}

async function savedJson(all = true) {
  if (all) await page.waitForSelector("#save-json:enabled");
  const { name, path } = await saved("#save-json");
  return { name, rows: readFileSync(path, "utf8").trim().split("\n").map((line) => JSON.parse(line)) };
}
