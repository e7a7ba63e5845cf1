// The dashboard in a real browser: of a daemon that streams, and of statuses that are rare or hostile.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { type AdminServer, startAdminServer } from "../../src/daemon/admin-server.ts";
import { History } from "../../src/daemon/history.ts";
import type { DaemonStatus } from "../../src/daemon/status.ts";
import { adminAddress } from "../support/admin.ts";
import { openPage, PHONE, startBrowser } from "../support/browser.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { statusWith } from "../support/daemon-status.ts";
import { waitFor } from "../support/wait-for.ts";

let browser: Browser;

beforeAll(async () => {
  browser = await startBrowser();
});
afterAll(() => browser?.close());

/** Pictures for people to look at, when a folder for them is named. */
async function picture(page: Page, name: string): Promise<void> {
  const to = process.env.AFTERIMAGE_TEST_PICTURES;
  if (to !== undefined) {
    mkdirSync(to, { recursive: true });
    await page.screenshot({ path: join(to, `dashboard-${name}.png`), fullPage: true });
  }
}

const text = (page: Page, id: string) => page.locator(`#${id}`).textContent();
const shows = (page: Page, id: string, wanted: string | RegExp) =>
  page.locator(`#${id}`, { hasText: wanted }).waitFor();
const widthOf = (page: Page) => page.evaluate<number>("document.documentElement.scrollWidth");

describe("of a daemon", () => {
  let stream: CapturedStream;

  beforeAll(async () => {
    stream = await CapturedStream.create(
      `CREATE TABLE orders (id int PRIMARY KEY); CREATE TABLE "<b>ü</b>" (id int PRIMARY KEY)`,
    );
  });
  afterAll(() => stream?.drop());

  test("it follows what is published, without a reload, and says when nobody answers any more", async () => {
    await stream.sql('INSERT INTO orders SELECT generate_series(1, 1200); INSERT INTO "<b>ü</b>" VALUES (1)');
    await stream.published();
    const { page, complaints } = await openPage(browser, await adminAddress(stream.daemon));
    await shows(page, "state", /^Streaming$/);
    expect(await text(page, "stream")).toBe(stream.stream);
    await shows(page, "sequence", "1,201");
    const row = (name: string) => page.getByRole("row").filter({ has: page.getByText(name, { exact: true }) });
    expect(await row("public.orders").locator("td").last().textContent()).toBe("1,200");
    expect(await row('public."<b>ü</b>"').locator("td").last().textContent()).toBe("1");
    await stream.sql("DELETE FROM orders WHERE id <= 300");
    await shows(page, "sequence", "1,501");
    await waitFor(async () => (await row("public.orders").locator("td").last().textContent()) === "1,500", {
      what: "the table's count",
    });
    await page.getByRole("img", { name: /^Lag, last 30 min: now (?!not)/ }).waitFor();
    await shows(page, "wal-forecast", /row/);
    await picture(page, "daemon");
    expect(complaints).toEqual([]);
    await stream.daemon.kill("SIGTERM");
    await page.getByRole("alert").filter({ hasText: "The daemon does not answer" }).waitFor();
    expect([await text(page, "live"), await text(page, "state")]).toEqual(["No answer", "No answer"]);
    await picture(page, "gone");
  });
});

describe("of any status", () => {
  let status: DaemonStatus;
  let server: AdminServer;
  let history: History;

  const streaming = (more: Partial<DaemonStatus> = {}): DaemonStatus =>
    statusWith({
      state: "streaming",
      snapshot: [],
      wal: {
        level: "ok",
        retainedBytes: 20_000_000,
        bytesPerSecond: 0,
        leftBytes: null,
        secondsLeft: null,
        awaitedStandbys: null,
      },
      ...more,
    });

  async function serve(port = 0): Promise<void> {
    const nothing = async () => undefined;
    server = await startAdminServer({
      host: "127.0.0.1",
      port,
      status: () => status,
      history,
      stop: () => undefined,
      snapshot: nothing,
      cancelSnapshot: nothing,
    });
  }

  beforeEach(async () => {
    status = streaming();
    let events = 0;
    history = new History(() => {
      events += 500;
      return { lagBytes: 10_000, lagSeconds: 0.1, events, bytes: events * 400, retainedBytes: 20_000_000 };
    });
    for (let at = 0; at < 50; at++) history.look();
    await serve();
    onTestFinished(async () => {
      history.close();
      await server.close();
    });
  });

  const lost = {
    code: "KAFKA_UNREACHABLE",
    message: "No broker answers.",
    advice: "Start Kafka.",
    at: "2026-11-22T18:00:55.000Z",
  };

  test("on a phone, light and dark, nothing is cut off, and what needs somebody comes first, with its remedy", async () => {
    const bad = "x".repeat(200);
    status = streaming({
      state: "backing-off",
      lag: { bytes: null, seconds: null, retainedBytes: null },
      wal: {
        level: "alert",
        retainedBytes: 52 * 1024 ** 3,
        bytesPerSecond: 3_000_000,
        leftBytes: 8 * 1024 ** 3,
        secondsLeft: 2_863,
        awaitedStandbys: "standby_1",
      },
      walGuard: { warn: 10 * 1024 ** 3, alert: 50 * 1024 ** 3, giveUp: null },
      tables: [{ table: `public.${bad}`, topic: `shop.${bad}`, events: 123_456_789_012 }],
      lastError: { ...lost, message: `${lost.message} ${bad}` },
      errors: [{ ...lost, message: `${lost.message} ${bad}` }],
      errorCounts: { KAFKA_UNREACHABLE: 41 },
      standbyDaemons: 0,
      notes: [bad],
    });
    for (const colorScheme of ["light", "dark"] as const) {
      const { page, complaints } = await openPage(browser, server.address, {
        viewport: PHONE,
        isMobile: true,
        colorScheme,
      });
      await shows(page, "state", "Waiting to try again");
      const needs = page.getByRole("list", { name: "Needs attention" }).getByRole("listitem");
      expect((await needs.allTextContents()).map((item) => item.slice(0, 22))).toEqual([
        "The slot makes the ser",
        "Postgres sends nothing",
        "KAFKA_UNREACHABLE: No ",
      ]);
      expect(await needs.nth(0).textContent()).toContain("gives it up in 47 min, at 60 GiB");
      expect(await needs.nth(2).textContent()).toContain("→ Start Kafka.");
      expect(await text(page, "errors")).toContain("41 times since the start");
      expect(await text(page, "standby")).toBe("None");
      expect(await widthOf(page)).toBeLessThanOrEqual(PHONE.width);
      await picture(page, `trouble-phone-${colorScheme}`);
      expect(complaints).toEqual([]);
    }
  });

  test("names stay text, whatever they hold", async () => {
    const hostile = 'public."<img src=x onerror=alert(1)></td><script>alert(2)</script>\u202egnp.exe\n"';
    const error = { ...lost, message: hostile, advice: hostile };
    status = streaming({
      state: "halted",
      stream: "shop",
      tables: [{ table: hostile, topic: hostile, events: 1 }],
      snapshot: [{ table: hostile, rows: 5, estimatedRows: 10, rowsPerSecond: 1, secondsLeft: 5, waitingFor: hostile }],
      lastError: error,
      errors: [error],
      notes: [hostile],
    });
    const { page, complaints } = await openPage(browser, server.address);
    await shows(page, "state", "Halted");
    const shown = 'public."<img src=x onerror=alert(1)></td><script>alert(2)</script>\\u202egnp.exe\\u000a"';
    for (const where of [".table-name", ".topic", "#notes li", "#errors .what", ".snapshot"]) {
      expect(await page.locator(where).first().textContent(), where).toContain(shown);
    }
    expect(await page.locator("main img:not([role]), main script").count()).toBe(0);
    expect(complaints).toEqual([]);
  });

  test("many tables: those that are read first, the rest on demand, one found by its name; by keyboard", async () => {
    status = streaming({
      state: "snapshotting",
      tables: Array.from({ length: 60 }, (_, at) => ({
        table: `public.t${at}`,
        topic: `shop.public.t${at}`,
        events: at,
      })),
      snapshot: [
        { table: "public.t59", rows: 620, estimatedRows: 1000, rowsPerSecond: 21, secondsLeft: 18, waitingFor: null },
      ],
    });
    const { page, complaints } = await openPage(browser, server.address);
    const names = page.locator(".table-name");
    await shows(page, "state", "Streaming, and reading tables");
    expect([await names.first().textContent(), await names.count()]).toEqual(["public.t59", 25]);
    expect(await page.getByRole("progressbar", { name: "Snapshot of public.t59" }).count()).toBe(1);
    expect(await page.evaluate<number>("document.querySelector('progress').value")).toBeCloseTo(0.62);
    expect(await page.locator(".snapshot").textContent()).toContain(
      "62 %, 620 rows of about 1,000, 21 a second, 18 s left",
    );
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.textContent")).toBe("Skip to the state");
    await page.keyboard.press("Tab");
    await page.keyboard.press("ArrowLeft");
    await page.getByRole("img", { name: /^Lag, last 5 min: now 0.1 s, highest 0.1 s/ }).waitFor();
    await page.keyboard.press("Tab");
    await page.keyboard.type("T4");
    expect(await names.allTextContents()).toEqual([
      "public.t4",
      ...Array.from({ length: 10 }, (_, at) => `public.t4${at}`),
    ]);
    await page.keyboard.type("zz");
    await page.getByText("No table’s name contains “t4zz”.").waitFor();
    await page.locator("#filter").fill("");
    await page.getByRole("button", { name: "Show 25 more" }).press("Enter");
    expect(await names.count()).toBe(50);
    expect(complaints).toEqual([]);
  });

  test("a change of state is announced once, and a daemon that comes back is followed again", async () => {
    const { page } = await openPage(browser, server.address, { colorScheme: "dark" });
    await shows(page, "announcement", /^Streaming$/);
    status = streaming({ lag: { bytes: 10_000_000, seconds: 75, retainedBytes: 20_000_000 } });
    await shows(page, "announcement", "Streaming. The topics are behind");
    await shows(page, "state", "Streaming, 75 s behind");
    const { port } = new URL(server.address);
    await server.close();
    await page.getByRole("alert").filter({ hasText: "what it did then was “Streaming, 75 s behind”" }).waitFor();
    status = streaming({
      state: "standby",
      position: null,
      lag: { bytes: null, seconds: null, retainedBytes: null },
      tables: [],
    });
    await serve(Number(port));
    await shows(page, "state", "Standing by");
    expect(await page.getByRole("alert").count()).toBe(0);
    expect(await text(page, "standby")).toBe("This one");
    await shows(page, "no-tables", "Known to the daemon that streams.");
    await picture(page, "standby");
  });
});
