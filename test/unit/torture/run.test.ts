// Whatever fails in a history, from the start of its servers to their end, is told in its report, and the run goes on.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { planRun } from "../../torture/plan.ts";
import { Processes } from "../../torture/processes.ts";
import type { RealWorld } from "../../torture/real-world.ts";
import { lastLine, summarise } from "../../torture/report.ts";
import { runHistory } from "../../torture/run.ts";

const folder = mkdtempSync(join(tmpdir(), "afterimage-run-"));
afterAll(() => rmSync(folder, { recursive: true }));

const [plan] = planRun({ seed: "run", rounds: 1 });
const NOTHING = { count: 0, last: null };
const fails = (what: string) => async () => {
  throw new Error(what);
};

/** Nothing answers in it. */
const ruin = {
  ...{ url: "postgres://127.0.0.1:1/none", stream: "none", viewFile: join(folder, "none.db"), now: () => 0 },
  ...{ kafka: { brokers: ["127.0.0.1:1"], nodes: [] }, files: new Map(), dark: [], mend: fails("It can't be mended.") },
  sampler: { positions: [], health: [], misses: { positions: NOTHING, health: NOTHING }, stop: fails("No end.") },
  processes: new Processes({}, { brokers: [], stream: "none", file: "none", tables: [] }, folder),
  close: fails("The servers don't end."),
} as unknown as RealWorld;

test("servers that don't start are a failure of the history", async () => {
  const { report, kept } = await runHistory(plan!, folder, () => undefined, fails("No Java."));
  expect(report.failures).toEqual(["No Java."]);
  expect(kept).toBe(null);
  expect(lastLine(summarise("run", [report]))).toMatch(/1 histories not finished$/);
});

test("one that breaks off at once, and whose servers don't end, has its report, and is kept", async () => {
  const { report, kept } = await runHistory(
    plan!,
    folder,
    () => undefined,
    async () => ruin,
  );
  expect(report.failures.length).toBeGreaterThan(3);
  expect(report.failures).toContain("After that: It can't be mended.");
  expect(report.failures.at(-1)).toBe("The servers don't end.");
  expect(report.verdict!.examined.get(2) ?? 0).toBe(0);
  expect(readdirSync(kept!).sort()).toEqual(["evidence.jsonl.gz", "plan.json", "report.json"]);
  expect(lastLine(summarise("run", [report]))).toMatch(/1 histories not finished$/);
}, 60_000);

test("what can't be kept is told as well as what fails after it", async () => {
  const file = join(folder, "a file");
  writeFileSync(file, "");
  const { report, kept } = await runHistory(
    plan!,
    file,
    () => undefined,
    async () => ruin,
  );
  expect(kept).toBe(null);
  expect(report.failures.slice(-2)).toEqual([expect.stringContaining("ENOTDIR"), "The servers don't end."]);
}, 60_000);
