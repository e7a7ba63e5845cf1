// The sample search page in a real browser, fed by real topics: what a visitor sees, and sees change.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { UNCHANGED } from "../../src/event/column-value.ts";
import { DESKTOP, openPage, PHONE, startBrowser } from "../support/browser.ts";
import { uniqueStream } from "../support/database.ts";
import {
  INT4,
  INT8,
  NUMERIC,
  removeTopics,
  StreamWriter,
  TEXT,
  type TextRow,
  TIMESTAMPTZ,
} from "../support/stream-writer.ts";
import { waitFor } from "../support/wait-for.ts";

const TABLE = "public.products";
const MAIN = fileURLToPath(new URL("../../src/sample/search-index/main.ts", import.meta.url));

const PRODUCTS: readonly (readonly [string, string, string, string, string, string])[] = [
  [
    "Trail running shoes Vento",
    "Altura",
    "Footwear",
    "119.90",
    "42",
    "Light shoes for long runs on rough paths, with a grippy sole and a mesh that dries fast.",
  ],
  ["Road running shoes Plume", "Altura", "Footwear", "139.00", "3", "Soft cushioning for daily training on asphalt."],
  [
    "Running jacket",
    "Nordkap",
    "Outerwear",
    "89.50",
    "18",
    "Windproof, packs into its own pocket. Made for cold mornings.",
  ],
  [
    "Café crème espresso machine",
    "Bürgi",
    "Kitchen",
    "449.00",
    "7",
    "Fifteen bar pump, steam wand and a warm shelf for cups. Makes espresso as in a café.",
  ],
  [
    "Oak desk lamp",
    "Lumen & Co",
    "Lighting",
    "64.00",
    "0",
    "A turned oak stand, a linen shade and a dimmer in the cord.",
  ],
  [
    "Desk mat, felt",
    "Filzwerk",
    "Office",
    "32.00",
    "120",
    "Wool felt that keeps the desk quiet and the mouse gliding.",
  ],
  [
    "Standing desk 140",
    "Hochtisch",
    "Office",
    "599.00",
    "4",
    "Electric, remembers three heights, cable tray included.",
  ],
  ["Merino base layer", "Nordkap", "Outerwear", "74.95", "55", "Warm when wet, does not smell after three days."],
  ["Cast iron pan 26 cm", "Bürgi", "Kitchen", "58.00", "31", "Pre-seasoned, for every stove, and for the oven."],
  ["Bread knife", "Bürgi", "Kitchen", "39.00", "26", "Long serrated blade, walnut handle."],
  [
    '<b>Bold</b> & "quoted" <img src=x onerror=alert(1)>',
    "Injecta",
    "Tests",
    "1.00",
    "1",
    "A name that is markup must stay text: <script>alert(1)</script>.",
  ],
];

let stream: string;
let writer: StreamWriter;
let sample: ChildProcess;
let browser: Browser;
let url: string;
let folder: string;

const rowOf = ([name, brand, category, price, stock, description]: (typeof PRODUCTS)[number], id: number): TextRow => ({
  id: String(id),
  name,
  brand,
  category,
  price,
  stock,
  description,
  updated_at: `2026-11-22 18:00:${String(id).padStart(2, "0")}.5+00`,
});

beforeAll(async () => {
  stream = uniqueStream();
  folder = mkdtempSync(join(tmpdir(), "afterimage-page-"));
  writer = await StreamWriter.open({
    stream,
    tables: [
      {
        table: TABLE,
        columns: [
          ["id", INT8, 1],
          ["name", TEXT, null],
          ["description", TEXT, null],
          ["brand", TEXT, null],
          ["category", TEXT, null],
          ["price", NUMERIC, null],
          ["stock", INT4, null],
          ["updated_at", TIMESTAMPTZ, null],
        ],
      },
    ],
  });
  await writer.publish(
    TABLE,
    PRODUCTS.map((product, at) => ({ insert: rowOf(product, at + 1) })),
  );
  [url, browser] = await Promise.all([startSample(), startBrowser()]);
});

afterAll(async () => {
  await browser?.close();
  if (sample !== undefined && sample.exitCode === null) {
    sample.kill("SIGTERM");
    expect(await once(sample, "close")).toEqual([0, null]);
  }
  await writer?.close();
  await removeTopics(writer.topics.values());
  rmSync(folder, { recursive: true });
});

async function startSample(): Promise<string> {
  const flags = ["--kafka", inject("brokers").join(","), "--stream", stream, "--file", join(folder, "index.db")];
  sample = spawn(process.execPath, [MAIN, ...flags, "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  sample.stdout!.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  return waitFor(() => /Search page: (\S+)/.exec(output)?.[1], { what: "the address of the search page" });
}

/** Waits until the page has this many of them. */
async function shows(page: Page, selector: string, count: number): Promise<void> {
  await waitFor(async () => (await page.locator(selector).count()) === count, { what: `${count} × ${selector}` });
}

/** Pictures for people to look at, when a folder for them is named. */
async function picture(page: Page, name: string): Promise<void> {
  const to = process.env.AFTERIMAGE_TEST_PICTURES;
  if (to !== undefined) {
    mkdirSync(to, { recursive: true });
    await page.screenshot({ path: join(to, `${name}.png`) });
  }
}

async function api(path: string, headers: Record<string, string> = {}): Promise<{ status: number; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  get(new URL(path, url), { headers }, (response) => {
    let body = "";
    response.setEncoding("utf8").on("data", (text: string) => {
      body += text;
    });
    response.on("end", () => resolve({ status: response.statusCode!, body }));
  }).on("error", reject);
  return promise;
}

test("typing finds products, marks the words, and keeps markup text", async () => {
  const { page, complaints } = await openPage(browser, url);
  await page.locator(".result").nth(10).waitFor();
  expect(await page.locator(".result-name").first().textContent()).toContain("<b>Bold</b>");
  expect(await page.locator("#results img, #results b, #results script").count()).toBe(0);
  await picture(page, "desktop-start");
  await page.keyboard.press("Tab");
  await page.keyboard.press("/");
  await page.keyboard.type("desk zebra");
  // A slow machine searches for the first letters too, which may already find nothing.
  await page.getByText("Nothing found for “desk zebra”").waitFor();
  expect(await page.locator(".result").count()).toBe(0);
  await picture(page, "desktop-nothing-found");
  await page.keyboard.press("Escape");
  await page.keyboard.type("runn sho");
  await page.waitForURL((address) => address.searchParams.get("q") === "runn sho");
  await shows(page, ".result", 2);
  expect(await page.locator("#count").textContent()).toBe("2 products found");
  expect(await page.locator("mark").allTextContents()).toEqual(expect.arrayContaining(["running", "shoes"]));
  await picture(page, "desktop-results");
  await page.locator("#query").fill("creme BURGI");
  await shows(page, ".result", 1);
  expect(await page.locator(".result-name").textContent()).toBe("Café crème espresso machine");
  expect(complaints).toEqual([]);
});

test("results change while one looks at them, and the position with them", async () => {
  const { page, complaints } = await openPage(browser, `${url}?q=lamp`);
  await page.locator(".result").first().waitFor();
  expect(await page.locator(".result .stock").allTextContents()).toEqual(["Out of stock"]);
  const lamp: TextRow = { ...rowOf(PRODUCTS[4]!, 5), price: "59.00", stock: "12", description: UNCHANGED };
  await writer.publish(TABLE, [{ update: lamp }]);
  await page.getByText("12 in stock").waitFor();
  expect(await page.locator(".move.down").count()).toBe(1);
  expect(await page.locator(".result-snippet").textContent()).toContain("turned oak stand");
  await picture(page, "desktop-changed");
  const floor: TextRow = { ...rowOf(PRODUCTS[4]!, 12), name: "Floor lamp Arc", stock: "4" };
  await writer.publish(TABLE, [{ insert: floor }]);
  await shows(page, ".result", 2);
  await writer.publish(TABLE, [{ delete: { id: "12" } }, { delete: { id: "5" } }]);
  await page.getByText("Nothing found").waitFor();
  const reached = new RegExp(`^${writer.sequence.toLocaleString("en-GB")}$`);
  await page.locator("#sequence", { hasText: reached }).waitFor();
  expect(await page.locator("#live-text").textContent()).toBe("Live");
  expect(complaints).toEqual([]);
});

test("on a phone, in the dark, nothing is cut off", async () => {
  const { page, complaints } = await openPage(browser, url, { viewport: PHONE, isMobile: true, colorScheme: "dark" });
  await page.locator(".result").first().waitFor();
  await picture(page, "phone-start");
  await page.locator("#query").fill("des");
  await shows(page, ".result", 2);
  const width = await page.evaluate<number>("document.documentElement.scrollWidth");
  expect(width).toBeLessThanOrEqual(PHONE.width);
  await picture(page, "phone-results");
  expect(complaints).toEqual([]);
});

test.each([
  '"',
  "'",
  "*",
  "AND",
  "a OR",
  "NEAR(",
  "name:",
  "-",
  "^",
  "(",
  "{a b}",
  "a\u0000b",
  "💡",
  "\\",
  "%",
  "a".repeat(5000),
  "́",
  'lamp*)"',
])("a query of %j is no error", async (query) => {
  const { status, body } = await api(`/api/search?q=${encodeURIComponent(query)}`);
  expect([status, JSON.parse(body).hits]).toEqual([200, expect.any(Array)]);
});

test("only the page's own names may ask, and only to read", async () => {
  expect((await api("/api/search?q=", { host: "evil.example" })).status).toBe(421);
  expect((await api("/api/search?q=", { host: "localhost:1234" })).status).toBe(200);
  expect((await api("/../../etc/passwd")).status).toBe(404);
  expect((await fetch(url, { method: "POST" })).status).toBe(405);
  const page = await fetch(url);
  expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
  expect(JSON.parse((await api("/healthz")).body)).toEqual({ state: "live" });
  expect(JSON.parse((await api("/api/status")).body)).toMatchObject({ stream, table: TABLE, lag: 0, state: "live" });
});

test("a truncate empties the page", async () => {
  const { page, complaints } = await openPage(browser, url, { viewport: DESKTOP });
  await page.locator(".result").first().waitFor();
  await writer.publish(TABLE, ["truncate"]);
  await page.getByText("No products yet").waitFor();
  expect(await page.locator(".result").count()).toBe(0);
  await page.locator("#documents", { hasText: /^0$/ }).waitFor();
  await picture(page, "desktop-empty");
  expect(complaints).toEqual([]);
});

test("a page whose server is gone says so", async () => {
  const { page } = await openPage(browser, url, { colorScheme: "dark" });
  await page.getByText("No products yet").waitFor();
  sample.kill("SIGTERM");
  await once(sample, "close");
  await page.getByText("Connection lost").waitFor();
  await page.locator("#query").fill("lamp");
  await page.getByText("The search does not answer").waitFor();
  await picture(page, "desktop-offline");
});
