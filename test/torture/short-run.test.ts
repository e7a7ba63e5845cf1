// The short mixed run of `npm run test:fault`, as tests: one for each history.
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runHistory } from "./history.ts";
import { planRun } from "./plan.ts";
import { holds, judge, keep, lastLine, summarise } from "./report.ts";
import { SHORT_RUN } from "./short-run.ts";

const SEED = process.env.AFTERIMAGE_TORTURE_SEED || "afterimage";

for (const plan of planRun({ ...SHORT_RUN, seed: SEED })) {
  const where = `PostgreSQL ${plan.postgres}, ${plan.nodes} Kafka node(s)`;
  test(`${plan.rounds.length} faults on ${where}: nothing lost, doubled or out of order`, async () => {
    const lines: string[] = [];
    const result = await runHistory(plan, (line) => lines.push(line));
    const report = judge(result);
    const run = summarise(SEED, [report]);
    if (!holds(run)) {
      const kept = keep(mkdtempSync(join(tmpdir(), "afterimage-torture-")), result, report);
      const violations =
        report.verdict?.violations.map(({ invariant, what }) => `invariant ${invariant}: ${what}`) ?? [];
      expect.fail([...lines, report.failure ?? "", ...violations, lastLine(run), `kept in ${kept}`].join("\n"));
    }
    expect(run.rounds).toBe(plan.rounds.length);
    expect(run.events).toBeGreaterThan(1000);
  }, 600_000);
}
