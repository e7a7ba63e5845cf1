// The wall clock may jump by days in either direction: it is shown and recorded, and decides nothing. What waits, times out
// or takes turns uses the monotonic clock (timers, `performance.now()`).
import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** File to the number of its looks at the wall clock, with the reason. */
const SHOWN: Readonly<Record<string, number>> = {
  "src/cli/status.ts": 1, // "for 3 min", to people
  "src/daemon/lifecycle.ts": 2, // `since` in the status
  "src/daemon/status-board.ts": 3, // `lastError.at`, and the age of commits for `lag.seconds`
  "src/daemon/wall-time.ts": 1, // `timestamp` of a gap and a sweep
  "src/kafka/partition-queue.ts": 1, // the records' time; the stream's topics take the broker's instead
  "src/sdk/consumer/position.ts": 1, // `lagSeconds`
  "src/source/feedback.ts": 2, // the client's clock in a status update, which Postgres shows as reply_time
};

const LOOK = /\bDate\.now\(\)|\bnew Date\(\)|\bDate\(\)/g;

function looksOf(text: string): number {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "").match(LOOK)?.length ?? 0;
}

test("the wall clock is looked at only where it is shown", () => {
  const found = globSync("src/**/*.ts", { cwd: ROOT }).flatMap((path) => {
    const looks = looksOf(readFileSync(`${ROOT}/${path}`, "utf8"));
    return looks === 0 ? [] : [[path.replaceAll("\\", "/"), looks] as const];
  });
  expect(Object.fromEntries(found)).toEqual(SHOWN);
});

test("every form is found, also as a default value; comments are not", () => {
  const text = "f(now = Date.now()); const a = new Date(); // Date.now()\n/* new Date() */ const b = new Date(5);";
  expect(looksOf(text)).toBe(2);
});
