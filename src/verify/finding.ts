// What verify found: a stable kind, where it stands, and how bad it is. Never a value of a row: keys are values too.

/**
 * `wrong`: the stream, or the tables, are not what they must be. `unseen`: the stream never held it, since it is older
 * than its start. `partial`: could not be proved, so nothing is said about it. `note`: good to know.
 */
export type Severity = "wrong" | "unseen" | "partial" | "note";

export interface Finding {
  readonly kind: FindingKind;
  readonly severity: Severity;
  readonly what: string;
  readonly table?: string;
  readonly topic?: string;
  readonly partition?: number;
  /** As text: an offset has 64 bits. */
  readonly offset?: string;
  readonly sequence?: number;
  readonly columns?: readonly string[];
  /** Only when the user asked for keys. */
  readonly key?: string;
}

const SEVERITY = {
  // One event by itself.
  EVENT_INVALID: "wrong",
  EVENT_FOREIGN: "wrong",
  SCHEMA_UNKNOWN: "wrong",
  COLUMNS_WRONG: "wrong",
  KEY_WRONG: "wrong",
  PARTITION_WRONG: "wrong",
  // Events among each other.
  SEQUENCE_GAP: "wrong",
  SEQUENCE_DOUBLE: "wrong",
  SEQUENCE_ORDER: "wrong",
  BARRIER_TORN: "wrong",
  TRANSACTION_TORN: "wrong",
  TRANSACTION_ORDER: "wrong",
  KEY_CHANGE_TORN: "wrong",
  // Progress records, and events against them.
  PROGRESS_INVALID: "wrong",
  PROGRESS_GAP: "wrong",
  PROGRESS_ORDER: "wrong",
  PROGRESS_BEYOND: "wrong",
  PROGRESS_LAST: "wrong",
  VECTOR_UNMET: "wrong",
  // Topics and what they no longer hold.
  TOPIC_LOST: "wrong",
  HISTORY_TRIMMED: "partial",
  VECTORS_EXPIRED: "note",
  // The folded topics against the tables.
  ROW_DIFFERS: "wrong",
  ROW_NOT_IN_DATABASE: "wrong",
  ROW_NOT_IN_STREAM: "wrong",
  ROWS_UNSEEN: "unseen",
  VALUES_UNSEEN: "unseen",
  TABLE_UNSEEN: "unseen",
  TABLE_NOT_FOLDED: "partial",
  TABLE_GONE: "note",
  TABLE_LEFT: "note",
  TABLE_NOT_SELECTED: "note",
  COLUMNS_NOT_COMPARED: "note",
} as const satisfies Record<string, Severity>;

export type FindingKind = keyof typeof SEVERITY;

export type FindingDetails = Omit<Finding, "kind" | "severity" | "what" | "offset"> & { readonly offset?: bigint };

/** Of each kind so many are kept; the others are counted, so that a ruined stream doesn't fill the memory. */
const KEPT_OF_A_KIND = 100;

export class Findings {
  readonly #kept: Finding[] = [];
  readonly #counts = new Map<FindingKind, number>();

  add(kind: FindingKind, what: string, details: FindingDetails = {}): void {
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    if (count > KEPT_OF_A_KIND) {
      return;
    }
    const { offset, ...rest } = details;
    const place = offset === undefined ? {} : { offset: String(offset) };
    this.#kept.push({ kind, severity: SEVERITY[kind], what, ...rest, ...place });
  }

  /** For what is looked at more than once. */
  addOnce(kind: FindingKind, what: string, details: FindingDetails = {}): void {
    if (!this.#kept.some((found) => found.kind === kind && found.what === what)) {
      this.add(kind, what, details);
    }
  }

  /** In the order in which they were found. */
  get kept(): readonly Finding[] {
    return this.#kept;
  }

  get counts(): Readonly<Partial<Record<FindingKind, number>>> {
    return Object.fromEntries(this.#counts);
  }

  has(severity: Severity): boolean {
    return [...this.#counts.keys()].some((kind) => SEVERITY[kind] === severity);
  }
}
