// A run says that all held only when all was played, judged and held.
import { expect, test } from "vitest";
import type { Evidence } from "../../torture/evidence.ts";
import type { HistoryResult } from "../../torture/history.ts";
import { planRun } from "../../torture/plan.ts";
import { holds, judge, lastLine, summarise, summaryOf, unplayed } from "../../torture/report.ts";
import { syntheticEvidence } from "./synthetic.ts";

const [plan] = planRun({ seed: "report", rounds: 1 });
const EVENTS = 400;

function resultOf(change: Partial<HistoryResult> = {}, evidence: Evidence = syntheticEvidence()): HistoryResult {
  return {
    ...{ plan: plan!, evidence, applied: null, isWithoutStream: false, missing: [], failures: [], leaks: [] },
    ...{ rounds: evidence.rounds, outputs: new Map(), operations: {}, ...change },
  };
}

const endOf = (result: HistoryResult) => lastLine(summarise("report", [judge(result)]));

test("a faultless history holds, and says how many rounds and events", () => {
  const run = summarise("report", [judge(resultOf())]);
  expect(run.events).toBeGreaterThan(EVENTS);
  expect(holds(run)).toBe(true);
  expect(lastLine(run)).toBe(`rounds 1, events ${run.events}, lost 0, duplicated 0, misordered 0, invariants all held`);
});

test("a history that broke off is judged as far as it goes, keeps its rounds, and does not hold", () => {
  const evidence = { ...syntheticEvidence(), whole: false };
  const report = judge(resultOf({ failures: ["After kill-daemon it halted."] }, evidence));
  expect(report.recovery).toHaveLength(1);
  expect(report.verdict).toMatchObject({ violations: [] });
  expect(report.verdict!.events).toBeGreaterThan(EVENTS);
  expect(endOf(resultOf({ failures: ["x"] }, evidence))).toMatch(/1 histories not finished$/);
});

test("what is wrong before the end of a history that broke off is told", () => {
  const evidence = syntheticEvidence();
  const broken = { ...evidence, whole: false, records: evidence.records.toSpliced(40, 1) };
  expect(endOf(resultOf({ failures: ["x"] }, broken))).toMatch(/lost 1.*invariants broken: 2, 3.*not finished$/);
});

test("without a stream there is only what was seen of the processes", () => {
  const exits = [{ ...syntheticEvidence().exits[0]!, sent: [] }];
  const evidence = { ...syntheticEvidence(), records: [], progress: [], whole: false, exits };
  const report = judge(resultOf({ isWithoutStream: true, missing: ["the stream: no broker"] }, evidence));
  expect(report.verdict!.violations.map(({ invariant }) => invariant)).toEqual([11]);
  expect(report.failures).toEqual(["the stream: no broker"]);
});

test("a judge that fails is a failure that is told", () => {
  const evidence = { ...syntheticEvidence(), records: null as never };
  const report = judge(resultOf({}, evidence));
  expect(report.verdict).toBe(null);
  expect(report.failures[0]).toMatch(/^The judge failed: /);
  expect(holds(summarise("report", [report]))).toBe(false);
});

test("a history that never began, and a run without rounds, hold nothing", () => {
  const report = unplayed(plan!, new Error("No Java."));
  expect(lastLine(summarise("report", [report]))).toMatch(/1 histories not finished$/);
  expect(holds(summarise("report", []))).toBe(false);
  expect(lastLine(summarise("report", []))).not.toContain("all held");
});

test("a fault that came to nothing is no round survived", () => {
  const rounds = [...syntheticEvidence().rounds, { ...syntheticEvidence().rounds[0]!, bit: false }];
  expect(endOf(resultOf({ rounds }))).toMatch(/^rounds 1 \(1 more came to nothing\), /);
});

test("the view noted every event, no more and no less", () => {
  const { events } = judge(resultOf()).verdict!;
  expect(endOf(resultOf({ applied: events }))).toMatch(/all held$/);
  expect(endOf(resultOf({ applied: events - 1 }))).toMatch(/invariants broken: 1$/);
});

test("a summary is short and says what the history was", () => {
  const summary = summaryOf(judge(resultOf()));
  expect(summary).toMatchObject({ seed: plan!.seed, postgres: 18, nodes: 1, rounds: 1, recoveryMs: { median: 400 } });
  expect(JSON.stringify(summary).length).toBeLessThan(500);
});
