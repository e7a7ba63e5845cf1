// What the checker finds.

/** Numbers of the invariants as docs/guarantees.md lists them. */
export type Invariant = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12;

export interface Violation {
  readonly invariant: Invariant;
  /** Stands for how the last line counts it. */
  readonly kind: "lost" | "duplicated" | "misordered" | "other";
  /** What is wrong and where: table, key, sequence, offset, xid. */
  readonly what: string;
}
