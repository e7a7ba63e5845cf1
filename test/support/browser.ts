// A real browser for tests of pages: Debian's chromium, driven by playwright-core.
import { type Browser, chromium, type Page } from "playwright-core";
import { onTestFinished } from "vitest";

const EXECUTABLE = process.env.AFTERIMAGE_TEST_CHROMIUM ?? "/usr/bin/chromium";

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

export async function startBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: EXECUTABLE,
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

export interface OpenedPage {
  readonly page: Page;
  /** Errors of scripts, refused resources and console errors: a good page has none. */
  readonly complaints: string[];
}

/** A page in a context of its own, closed at the end of the test. */
export async function openPage(
  browser: Browser,
  url: string,
  options: { viewport?: { width: number; height: number }; colorScheme?: "light" | "dark"; isMobile?: boolean } = {},
): Promise<OpenedPage> {
  const { viewport = DESKTOP, colorScheme = "light", isMobile = false } = options;
  const context = await browser.newContext({ viewport, colorScheme, isMobile, hasTouch: isMobile, locale: "en-GB" });
  onTestFinished(() => context.close());
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.goto(url);
  return { page, complaints };
}
