// What the documentation names is there: files, links, settings, variables, error codes, versions, folders.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";
import { environmentName } from "../../../src/config/setting-names.ts";
import { SETTINGS } from "../../../src/config/settings.ts";
import { anchorsOf, linksOf, namesOf, type Page, ROOT, readPages } from "./pages.ts";

const pages = readPages();
const byPath = new Map(pages.map((page) => [page.path, page]));

/** `page: what` for everything on any page that `find` gives. */
const onAll = (find: (page: Page) => readonly string[]): string[] =>
  pages.flatMap((page) => find(page).map((found) => `${page.path}: ${found}`));

/** Paths are written from the project's folder, from src/, or from the sample's own folder. */
const exists = (path: string): boolean =>
  ["", "src", "src/sample/search-index"].some((base) => existsSync(join(ROOT, base, path)));

function isBroken(page: Page, target: string): boolean {
  const [file = "", anchor] = target.split("#", 2);
  const path = file === "" ? page.path : normalize(join(dirname(page.path), file));
  const known = byPath.get(path);
  return anchor === undefined || known === undefined
    ? !existsSync(join(ROOT, path))
    : !anchorsOf(known).includes(anchor);
}

test("links lead somewhere", () => {
  const broken = onAll((page) => linksOf(page).filter((target) => !/^https?:/.test(target) && isBroken(page, target)));
  expect(broken).toEqual([]);
});

test("files and folders that are named exist", () => {
  const path = /^[\w.-]+(\/[\w.-]+)*\/([\w-]+\.(ts|js|json|md|xml|sh))?$/;
  expect(onAll((page) => namesOf(page).filter((name) => path.test(name) && !exists(name)))).toEqual([]);
});

test("settings that are named exist", () => {
  const known = new Set(SETTINGS.flatMap(({ path }) => [path, path.slice(0, path.lastIndexOf("."))]));
  const groups = new Set(SETTINGS.filter(({ path }) => path.includes(".")).map(({ path }) => path.split(".")[0]));
  const setting = new RegExp(`^(${[...groups].join("|")})(\\.[a-z][A-Za-z]*)+$`);
  expect(onAll((page) => namesOf(page).filter((name) => setting.test(name) && !known.has(name)))).toEqual([]);
});

test("environment variables that are named exist", () => {
  const known = new Set([
    ...SETTINGS.map(({ path }) => environmentName(path)),
    "AFTERIMAGE_CONFIG",
    "AFTERIMAGE_FAILPOINT",
    "AFTERIMAGE_TEST_POSTGRES_URL",
    "AFTERIMAGE_TEST_POSTGRES_VERSION",
    "AFTERIMAGE_TEST_KAFKA_BROKERS",
    "AFTERIMAGE_TEST_ROWS",
    "AFTERIMAGE_TEST_TABLES",
    "AFTERIMAGE_TEST_STORM_SEEDS",
    "AFTERIMAGE_TEST_STORM_STEPS",
    "AFTERIMAGE_TEST_STORM_LOG",
  ]);
  const used = ({ text }: Page) => [...text.matchAll(/\bAFTERIMAGE_[A-Z_]*[A-Z]\b/g)].map(([name]) => name);
  expect(onAll((page) => used(page).filter((name) => !known.has(name)))).toEqual([]);
});

/** Variables of the compose file and the sample, in the same letters. */
const NO_CODES = /^(AFTERIMAGE|SEARCH|ADMIN_PORT|SHOP)/;

test("error codes that are named stand in errors.md", () => {
  const documented = new Set(namesOf(byPath.get("docs/errors.md")!));
  const codes = (page: Page) => namesOf(page).filter((name) => /^[A-Z]+(_[A-Z]+)+$/.test(name) && !NO_CODES.test(name));
  expect(onAll((page) => codes(page).filter((code) => !documented.has(code)))).toEqual([]);
});

test("dependencies.md has every dependency with its version, and no other", () => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const rows = byPath
    .get("docs/dependencies.md")!
    .text.split("## Why")[0]!
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .flatMap((line) => {
      const [names = "", versions = ""] = line.split("|").slice(1, 3);
      const listed = versions.split(",").map((version) => version.trim());
      return [...names.matchAll(/`([^`]+)`/g)].map(([, name], at) => [name!, listed[at]!] as const);
    });
  expect(Object.fromEntries(rows)).toEqual({ ...dependencies, ...devDependencies });
});

test("the README's folder map has every folder of src", () => {
  const readme = byPath.get("README.md")!.text;
  for (const entry of readdirSync(join(ROOT, "src"), { withFileTypes: true })) {
    expect(readme).toMatch(new RegExp(`^  ${entry.name}${entry.isDirectory() ? "/" : ""} +\\S`, "m"));
  }
});

test("nobody is told to install the package that has the bare name", () => {
  for (const { path, text } of pages) {
    expect(text, path).not.toMatch(/\bnpm (i|install|add)\b[^\n`]*\bafterimage\b(?!-cdc)/);
    expect(text, path).not.toMatch(/\bnpx afterimage\b(?!-cdc)/);
  }
});
