// The judge of a history: holds everything that was observed against the invariants (docs/guarantees.md). It shares no
// code with what it judges.
import type { Evidence } from "../evidence.ts";
import type { Invariant, Violation } from "../violation.ts";
import { checkAtomicity } from "./atomicity.ts";
import { Findings } from "./findings.ts";
import { checkFold } from "./fold.ts";
import { type History, readHistory } from "./history.ts";
import { checkHonesty, checkLiveness } from "./honesty.ts";
import { checkLooks } from "./looks.ts";
import { checkNumbering } from "./numbering.ts";
import { checkOffsets } from "./offsets.ts";
import { checkPositions } from "./positions.ts";
import { checkSchemas } from "./schemas.ts";
import { checkTruth } from "./truth.ts";
import { checkVerified } from "./verified.ts";
import { checkDark, checkWatch } from "./watch.ts";
import { checkWriters } from "./writers.ts";

export interface Verdict {
  /** Of each sort the first ones, then how many more there are. */
  readonly violations: readonly Violation[];
  /** Distinct events; a barrier's copies count once. */
  readonly events: number;
  readonly transactions: number;
  /** All of the kind, also those that are not told one by one. */
  readonly lost: number;
  readonly duplicated: number;
  readonly misordered: number;
  /** How many things were held against each invariant; one that is absent was not tried at all. */
  readonly examined: ReadonlyMap<Invariant, number>;
}

export function check(evidence: Evidence): Verdict {
  const findings = new Findings();
  const history = readHistory(evidence, findings);
  checkFold(history, evidence, findings);
  checkTruth(history, evidence, findings);
  checkNumbering(history, evidence, findings);
  checkSchemas(history, evidence, findings);
  checkVerified(evidence, findings);
  checkAtomicity(history, evidence, findings);
  checkPositions(history, evidence, findings);
  checkWriters(history, findings);
  checkOffsets(evidence, findings);
  checkLooks(history, evidence, findings);
  checkAround(evidence, findings);
  return verdictOf(findings, history);
}

/** Of a history whose stream or source could not be read: what was seen of its processes. */
export function checkWithoutStream(evidence: Evidence): Verdict {
  const findings = new Findings();
  checkAround(evidence, findings);
  return verdictOf(findings, { events: [] });
}

function checkAround(evidence: Evidence, findings: Findings): void {
  checkHonesty(evidence, findings);
  checkDark(evidence, findings);
  checkWatch(evidence, findings);
  checkLiveness(evidence, findings);
}

function verdictOf(findings: Findings, history: Pick<History, "events">): Verdict {
  return {
    violations: findings.violations,
    events: history.events.length,
    transactions: new Set(history.events.map(({ xid, lsn }) => `${xid} ${lsn}`)).size,
    lost: findings.count("lost"),
    duplicated: findings.count("duplicated"),
    misordered: findings.count("misordered"),
    examined: findings.examinations,
  };
}
