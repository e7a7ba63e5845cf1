// What a process needs in its environment to be ended at a failpoint, and the counts of what was reached.
import { existsSync, readFileSync } from "node:fs";
import { FAILPOINTS, type Failpoint } from "../../../src/failpoint.ts";

export type Action = "kill" | "stop";

const PRELOAD = new URL("preload.ts", import.meta.url).href;

/** Environment under which failpoints are only counted. */
export function counted(countsFile: string): Record<string, string> {
  const given = process.env.NODE_OPTIONS === undefined ? "" : `${process.env.NODE_OPTIONS} `;
  return { NODE_OPTIONS: `${given}--import=${PRELOAD}`, AFTERIMAGE_FAILPOINT_COUNTS: countsFile };
}

/** The same, and at the nth time that a process reaches this failpoint it is killed, or stopped until SIGCONT. */
export function armed(name: Failpoint, nth: number, action: Action, countsFile: string): Record<string, string> {
  return { ...counted(countsFile), AFTERIMAGE_FAILPOINT: `${name}:${nth}:${action}` };
}

/** How often each failpoint was reached, all processes together: of one killed from outside at least half. */
export function readCounts(countsFile: string): ReadonlyMap<Failpoint, number> {
  const highest = new Map<string, number>();
  for (const line of existsSync(countsFile) ? readFileSync(countsFile, "utf8").split("\n") : []) {
    const [run, name, count] = line.split(" ");
    if (count !== undefined) highest.set(`${run} ${name}`, Number(count));
  }
  const counts = new Map<Failpoint, number>(FAILPOINTS.map((name) => [name, 0]));
  for (const [key, count] of highest) {
    const name = key.split(" ")[1] as Failpoint;
    counts.set(name, (counts.get(name) ?? 0) + count);
  }
  return counts;
}
