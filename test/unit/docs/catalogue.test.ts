// The fault catalogue in guarantees.md is whole, and each fault that is handled names a test that is there.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { namesOf, ROOT, readPages } from "./pages.ts";

const FAULTS = 73;
const OPEN = /not handled yet/i;

const page = readPages().find(({ path }) => path === "docs/guarantees.md")!;
const section = page.text.split("## The fault catalogue\n")[1]!.split("\n## ")[0]!;
const rows = section
  .split("\n")
  .filter((line) => /^\| \d+ \|/.test(line))
  .map((line) => {
    const [number, fault, does, test, ...more] = line.slice(2, -2).split(" | ");
    return { number: Number(number), fault: fault!, does: does!, test: test!, more };
  });

test("has every row once, in order, with four cells", () => {
  expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: FAULTS }, (_, at) => at + 1));
  for (const { number, fault, does, test: tests, more } of rows) {
    expect([number, more, [fault, does, tests].every((cell) => cell.trim() !== "")]).toEqual([number, [], true]);
  }
});

test("each fault that is handled names at least one test file, and every file that is named is there", () => {
  for (const { number, does, test: tests } of rows) {
    const files = namesOf({ path: page.path, text: tests });
    const missing = files.filter((file) => !/^test\/.+\.test\.ts$/.test(file) || !existsSync(join(ROOT, file)));
    expect([number, missing]).toEqual([number, []]);
    expect([number, files.length > 0 || OPEN.test(does)]).toEqual([number, true]);
  }
});

test("says how many are handled", () => {
  const handled = rows.filter(({ does }) => !OPEN.test(does));
  expect(section).toContain(`${handled.length} of ${FAULTS} are handled`);
});
