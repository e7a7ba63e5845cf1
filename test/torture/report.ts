// What a run came to: one line for people and CI, a JSON file with every history, and one line for each history that can
// be written down.
import { KAFKA_VERSION } from "../../dev/servers/embedded-kafka.ts";
import { messageOf } from "../../src/errors.ts";
import { check, checkWithoutStream, type Verdict } from "./checker/check.ts";
import { cutToStored } from "./cut.ts";
import type { HistoryResult } from "./history.ts";
import type { HistoryPlan } from "./plan.ts";
import type { Invariant, Violation } from "./violation.ts";

export interface Recovery {
  readonly fault: string;
  /** Milliseconds from the end of the fault until all was published. */
  readonly ms: number | null;
  readonly bit: boolean;
}

export interface HistoryReport {
  readonly plan: HistoryPlan;
  readonly verdict: Verdict | null;
  /** What kept it from coming to its end, or from being judged. */
  readonly failures: readonly string[];
  readonly leaks: readonly string[];
  readonly operations: Readonly<Record<string, number>>;
  readonly recovery: readonly Recovery[];
  /** Looks that were taken and that could not be. */
  readonly seen: Readonly<Record<string, number>>;
}

export interface RunReport {
  readonly seed: string;
  /** Faults that did what they were to do. */
  readonly rounds: number;
  /** Rounds whose fault came to nothing. */
  readonly idle: number;
  readonly events: number;
  readonly transactions: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly misordered: number;
  /** Numbers of the invariants that did not hold. */
  readonly broken: readonly number[];
  readonly failures: number;
  readonly leaks: number;
  readonly histories: readonly HistoryReport[];
}

/** Of a history that never began. */
export function unplayed(plan: HistoryPlan, error: unknown): HistoryReport {
  return { plan, verdict: null, failures: [failureText(error)], leaks: [], operations: {}, recovery: [], seen: {} };
}

/** Judges one history. A judge that fails is a failure of the history. */
export function judge(result: HistoryResult): HistoryReport {
  const { evidence, plan, leaks, operations, rounds, missing } = result;
  const failures = [...result.failures, ...missing];
  let verdict: Verdict | null = null;
  try {
    verdict = judged(result);
  } catch (error) {
    failures.push(`The judge failed: ${(error as Error).stack ?? messageOf(error)}`);
  }
  const { misses } = evidence.watch;
  return {
    plan,
    verdict,
    failures,
    leaks,
    operations,
    recovery: rounds.map(({ fault, healedAt, caughtUpAt, bit }) => ({
      fault,
      ms: caughtUpAt === null ? null : caughtUpAt - healedAt,
      bit,
    })),
    seen: {
      ...{ positions: evidence.positions.length, positionsMissed: misses.positions.count },
      ...{ health: evidence.health.length, healthMissed: misses.health.count },
      ...{ looks: evidence.looks.length, looksMissed: misses.looks.count, followed: evidence.followed.length },
    },
  };
}

function judged(result: HistoryResult): Verdict {
  const { evidence } = result;
  if (result.isWithoutStream) return checkWithoutStream(evidence);
  if (!evidence.whole) return check(cutToStored(evidence));
  return withView(withUnexamined(check(evidence)), result);
}

/** A history in which nothing was held against one of these proves nothing of it. */
const MUST_OCCUR: readonly Invariant[] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

function withUnexamined(verdict: Verdict): Verdict {
  const violations = MUST_OCCUR.filter((invariant) => (verdict.examined.get(invariant) ?? 0) === 0).map(
    (invariant): Violation => ({ invariant, kind: "other", what: "Nothing was held against it." }),
  );
  return { ...verdict, violations: [...verdict.violations, ...violations] };
}

/** The view noted every event it applied: fewer than there are means one was passed over. */
function withView(verdict: Verdict, { applied }: HistoryResult): Verdict {
  if (applied === null || applied === verdict.events) return verdict;
  const what = `The view applied ${applied} events; the stream holds ${verdict.events}.`;
  const violation: Violation = { invariant: 1, kind: applied < verdict.events ? "lost" : "duplicated", what };
  return { ...verdict, violations: [...verdict.violations, violation] };
}

export function failureText(error: unknown): string {
  const cause = (error as Error).cause;
  return `${messageOf(error)}${cause instanceof Error ? ` (${cause.message})` : ""}`;
}

export function summarise(seed: string, histories: readonly HistoryReport[]): RunReport {
  const verdicts = histories.flatMap(({ verdict }) => (verdict === null ? [] : [verdict]));
  const sum = (of: (verdict: Verdict) => number) => verdicts.reduce((total, verdict) => total + of(verdict), 0);
  const rounds = histories.flatMap(({ recovery }) => recovery);
  return {
    seed,
    rounds: rounds.filter(({ bit }) => bit).length,
    idle: rounds.filter(({ bit }) => !bit).length,
    events: sum(({ events }) => events),
    transactions: sum(({ transactions }) => transactions),
    lost: sum(({ lost }) => lost),
    duplicated: sum(({ duplicated }) => duplicated),
    misordered: sum(({ misordered }) => misordered),
    broken: [...new Set(verdicts.flatMap(({ violations }) => violations.map(({ invariant }) => invariant)))].sort(
      (a, b) => a - b,
    ),
    failures: histories.filter(({ failures }) => failures.length > 0).length,
    leaks: histories.reduce((total, { leaks }) => total + leaks.length, 0),
    histories,
  };
}

export const holds = ({ broken, failures, leaks, rounds, histories }: RunReport): boolean =>
  broken.length === 0 &&
  failures === 0 &&
  leaks === 0 &&
  rounds > 0 &&
  histories.every(({ verdict }) => verdict !== null);

export function lastLine(report: RunReport): string {
  const { rounds, idle, events, lost, duplicated, misordered, broken, failures, leaks } = report;
  const wrong = [
    ...(broken.length > 0 ? [`invariants broken: ${broken.join(", ")}`] : []),
    ...(failures > 0 ? [`${failures} histories not finished`] : []),
    ...(leaks > 0 ? [`${leaks} outputs held a secret`] : []),
  ];
  const end = holds(report) ? "invariants all held" : wrong.join(", ") || "nothing was tried";
  const nothing = idle > 0 ? ` (${idle} more came to nothing)` : "";
  return `rounds ${rounds}${nothing}, events ${events}, lost ${lost}, duplicated ${duplicated}, misordered ${misordered}, ${end}`;
}

/** What to write down of a history: short enough to be committed. */
export function summaryOf(report: HistoryReport) {
  const { plan, recovery } = report;
  const took = recovery.flatMap(({ ms }) => (ms === null ? [] : [ms])).sort((a, b) => a - b);
  const { rounds, idle, events } = summarise(plan.seed, [report]);
  return {
    ...{ seed: plan.seed, postgres: plan.postgres, kafka: KAFKA_VERSION, nodes: plan.nodes, node: process.version },
    ...{ faults: [...new Set(recovery.map(({ fault }) => fault))].sort(), rounds, idle, events },
    recoveryMs: { median: took[took.length >> 1] ?? null, max: took.at(-1) ?? null },
    lastLine: lastLine(summarise(plan.seed, [report])),
  };
}
