// Loaded before a program (`node --import`): counts every failpoint that the program reaches, and ends or stops the
// process at those it was told of. AFTERIMAGE_FAILPOINT: `name:nth:action`, several with commas between them;
// AFTERIMAGE_FAILPOINT_COUNTS: the file that the counts are appended to.
import { randomUUID } from "node:crypto";
import { openSync, writeSync } from "node:fs";
import type { Failpoint } from "../../../src/failpoint.ts";

// The signal reaches this thread before `kill` returns: nothing below a failpoint runs any more, or before SIGCONT.
const ACTIONS = {
  kill: () => void process.kill(process.pid, "SIGKILL"),
  stop: () => void process.kill(process.pid, "SIGSTOP"),
} as const;

type Action = keyof typeof ACTIONS;

const { AFTERIMAGE_FAILPOINT: orders = "", AFTERIMAGE_FAILPOINT_COUNTS: countsFile = "" } = process.env;
const run = randomUUID();
const counts = new Map<string, number>();
/** Name to the counts at which to act. */
const actions = new Map<string, Map<number, Action>>();
const file = countsFile === "" ? null : openSync(countsFile, "a");

// The hook is taken when the module is loaded, so it is set before anything else is.
Reflect.set(globalThis, Symbol.for("afterimage.failpoint"), (name: Failpoint) => {
  const count = (counts.get(name) ?? 0) + 1;
  counts.set(name, count);
  const action = actions.get(name)?.get(count);
  // Counts at powers of two: little work on hot paths, and never off by more than half should somebody else kill us.
  if (action !== undefined || (count & (count - 1)) === 0) record(name, count);
  if (action !== undefined) ACTIONS[action]();
});

const { FAILPOINTS } = await import("../../../src/failpoint.ts");

for (const order of orders.split(",").filter((text) => text !== "")) {
  const [name = "", nth = "", action = "", ...rest] = order.split(":");
  if (!FAILPOINTS.includes(name as Failpoint)) {
    throw new Error(`AFTERIMAGE_FAILPOINT: there is no failpoint ${JSON.stringify(name)} in src/failpoint.ts.`);
  }
  if (!/^[1-9]\d*$/.test(nth) || !Object.hasOwn(ACTIONS, action) || rest.length > 0) {
    throw new Error(`AFTERIMAGE_FAILPOINT: ${JSON.stringify(order)} is not name:nth:action (kill or stop).`);
  }
  actions.set(name, (actions.get(name) ?? new Map()).set(Number(nth), action as Action));
}

process.on("exit", () => {
  for (const [name, count] of counts) record(name, count);
});

/** One line in one write to a file opened for appending: processes can share it, and it outlives SIGKILL. */
function record(name: string, count: number): void {
  if (file !== null) writeSync(file, `${run} ${name} ${count}\n`);
}
