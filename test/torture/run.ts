// Plays one history from the start of its servers to their end, and judges it: whatever fails on the way is told in its
// report, and what a failed one leaves is kept.
import { History } from "./history.ts";
import { keep } from "./keep.ts";
import type { HistoryPlan } from "./plan.ts";
import { RealWorld } from "./real-world.ts";
import { failureText, type HistoryReport, holds, judge, summarise, unplayed } from "./report.ts";

export interface Played {
  readonly report: HistoryReport;
  /** Where a failed one was kept. */
  readonly kept: string | null;
}

/** `folder`: for what failed histories leave. */
export async function runHistory(
  plan: HistoryPlan,
  folder: string,
  log: (line: string) => void,
  open: (plan: HistoryPlan) => Promise<RealWorld> = RealWorld.open,
): Promise<Played> {
  let report = unplayed(plan, new Error("It was not played."));
  let kept: string | null = null;
  try {
    const world = await open(plan);
    try {
      const result = await new History(plan, world, log).play();
      report = judge(result);
      if (!holds(summarise(plan.seed, [report]))) kept = await keep(folder, { ...result, files: world.files }, report);
    } catch (error) {
      report = failed(report, error);
    } finally {
      await world.close();
    }
  } catch (error) {
    report = failed(report, error);
  }
  return { report, kept };
}

function failed(report: HistoryReport, error: unknown): HistoryReport {
  const failures = report.verdict === null && report.recovery.length === 0 ? [] : report.failures;
  return { ...report, failures: [...failures, failureText(error)] };
}
