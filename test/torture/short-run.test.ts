// The short mixed run of `npm run test:fault`, as tests: one for each history.
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { planRun } from "./plan.ts";
import { holds, lastLine, summarise } from "./report.ts";
import { runHistory } from "./run.ts";
import { SHORT_RUN } from "./short-run.ts";

const SEED = process.env.AFTERIMAGE_TORTURE_SEED || "afterimage";

for (const plan of planRun({ ...SHORT_RUN, seed: SEED })) {
  const where = `PostgreSQL ${plan.postgres}, ${plan.nodes} Kafka node(s)`;
  test(`${plan.rounds.length} faults on ${where}: nothing lost, doubled or out of order`, async () => {
    const lines: string[] = [];
    const folder = join(tmpdir(), "afterimage-torture-report");
    const { report, kept } = await runHistory(plan, folder, (line) => lines.push(line));
    const run = summarise(SEED, [report]);
    if (!holds(run)) {
      const violations =
        report.verdict?.violations.map(({ invariant, what }) => `invariant ${invariant}: ${what}`) ?? [];
      expect.fail([...lines, ...report.failures, ...violations, lastLine(run), `kept in ${kept}`].join("\n"));
    }
    expect(run.rounds + run.idle).toBe(plan.rounds.length);
    expect(run.events).toBeGreaterThan(1000);
  }, 600_000);
}
