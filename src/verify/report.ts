// What a verification comes to: for programs as it stands, for people through cli/verify.ts.
import type { Finding, FindingKind, Findings } from "./finding.ts";

/** `proven`: everything asked for. `partial`: nothing is wrong, but not all could be proved. */
export type Result = "proven" | "partial" | "wrong";

export interface DatabaseReport {
  /** Everything committed below it is in the snapshot, except for what is still in progress there. */
  readonly lsn: string;
  /** `pg_current_snapshot()` */
  readonly snapshot: string;
  /** Events of transactions that the snapshot doesn't see yet. */
  readonly notYetVisible: number;
  readonly tables: readonly TableReport[];
}

export interface TableReport {
  readonly table: string;
  /** In the database, at that position. */
  readonly rows: number;
  readonly equal: boolean;
}

export interface VerifyReport {
  readonly stream: string;
  readonly result: Result;
  /** The progress record up to which was verified. */
  readonly target: { readonly sequence: number; readonly endLsn: string; readonly offset: string };
  readonly events: number;
  readonly barriers: number;
  readonly transactions: number;
  readonly progressRecords: number;
  readonly topics: number;
  readonly partitions: number;
  /** The sequence is gapless from here on. */
  readonly provenFrom: number;
  /** Commit vectors are met from here on; null when no progress record accounts for events. */
  readonly vectorsFrom: number | null;
  readonly database: DatabaseReport | null;
  /** At most 100 of a kind. */
  readonly findings: readonly Finding[];
  /** How many of each kind there are. */
  readonly counts: Readonly<Partial<Record<FindingKind, number>>>;
  readonly seconds: number;
}

export interface Tolerance {
  readonly ignoreUnseen: boolean;
  readonly allowPartial: boolean;
}

export function resultOf(findings: Findings, { ignoreUnseen, allowPartial }: Tolerance): Result {
  if (findings.has("wrong") || (findings.has("unseen") && !ignoreUnseen)) {
    return "wrong";
  }
  return findings.has("partial") && !allowPartial ? "partial" : "proven";
}
