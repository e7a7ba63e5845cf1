// What a run came to: one line for people and CI, a JSON file with every history, and for a failed one all that is
// needed to play it again.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { check, type Verdict } from "./checker/check.ts";
import type { HistoryResult } from "./history.ts";
import type { HistoryPlan } from "./plan.ts";
import type { Invariant, Violation } from "./violation.ts";

export interface HistoryReport {
  readonly plan: HistoryPlan;
  readonly verdict: Verdict | null;
  readonly failure: string | null;
  readonly leaks: readonly string[];
  readonly operations: Readonly<Record<string, number>>;
  /** Milliseconds from the end of each fault until all was published. */
  readonly recovery: readonly { readonly fault: string; readonly ms: number | null }[];
}

export interface RunReport {
  readonly seed: string;
  readonly rounds: number;
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

/** Judges one history. */
export function judge(result: HistoryResult): HistoryReport {
  const { evidence, plan, failure, leaks, operations } = result;
  const verdict = evidence === null ? null : withView(withUnexamined(check(evidence)), result);
  return {
    plan,
    verdict,
    failure: failure === null ? null : failureText(failure),
    leaks,
    operations,
    recovery: (evidence?.rounds ?? []).map(({ fault, healedAt, caughtUpAt }) => ({
      fault,
      ms: caughtUpAt === null ? null : caughtUpAt - healedAt,
    })),
  };
}

/** A history in which nothing was held against one of these proves nothing of it. */
const MUST_OCCUR: readonly Invariant[] = [1, 2, 3, 4, 5, 6, 7, 9, 11];

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

function failureText(error: Error): string {
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : "";
  return `${error.message}${cause}`;
}

export function summarise(seed: string, histories: readonly HistoryReport[]): RunReport {
  const verdicts = histories.flatMap(({ verdict }) => (verdict === null ? [] : [verdict]));
  const sum = (of: (verdict: Verdict) => number) => verdicts.reduce((total, verdict) => total + of(verdict), 0);
  return {
    seed,
    rounds: histories.reduce((total, { recovery }) => total + recovery.length, 0),
    events: sum(({ events }) => events),
    transactions: sum(({ transactions }) => transactions),
    lost: sum(({ lost }) => lost),
    duplicated: sum(({ duplicated }) => duplicated),
    misordered: sum(({ misordered }) => misordered),
    broken: [...new Set(verdicts.flatMap(({ violations }) => violations.map(({ invariant }) => invariant)))].sort(
      (a, b) => a - b,
    ),
    failures: histories.filter(({ failure }) => failure !== null).length,
    leaks: histories.reduce((total, { leaks }) => total + leaks.length, 0),
    histories,
  };
}

export const holds = ({ broken, failures, leaks }: RunReport): boolean =>
  broken.length === 0 && failures === 0 && leaks === 0;

export function lastLine(report: RunReport): string {
  const { rounds, events, lost, duplicated, misordered, broken, failures, leaks } = report;
  const wrong = [
    ...(broken.length > 0 ? [`invariants broken: ${broken.join(", ")}`] : []),
    ...(failures > 0 ? [`${failures} histories not finished`] : []),
    ...(leaks > 0 ? [`${leaks} outputs held a secret`] : []),
  ];
  const end = wrong.length === 0 ? "invariants all held" : wrong.join(", ");
  return `rounds ${rounds}, events ${events}, lost ${lost}, duplicated ${duplicated}, misordered ${misordered}, ${end}`;
}

/** Keeps schedule, evidence and output of a history that failed. */
export function keep(folder: string, result: HistoryResult, report: HistoryReport): string {
  const own = join(folder, result.plan.seed.replaceAll(/[^\w.-]/g, "-"));
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, "plan.json"), toJson(result.plan));
  writeFileSync(join(own, "report.json"), toJson(report));
  if (result.evidence !== null) writeFileSync(join(own, "evidence.json.gz"), gzipSync(toJson(result.evidence)));
  for (const [name, text] of result.outputs) writeFileSync(join(own, name), text);
  return own;
}

/** Bigints as text, maps as lists of pairs. */
export function toJson(value: unknown): string {
  return JSON.stringify(
    value,
    (_, item) => (typeof item === "bigint" ? String(item) : item instanceof Map ? [...item] : item),
    1,
  );
}
