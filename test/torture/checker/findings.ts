// Collects what the checker finds: everything is counted, of each sort only the first ones are told in full.
import type { Invariant, Violation } from "../violation.ts";

/** More of one sort tell nothing new; their number is told. */
const TOLD = 20;

export type Kind = Violation["kind"];

export class Findings {
  readonly #told: Violation[] = [];
  readonly #sorts = new Map<string, { invariant: Invariant; kind: Kind; sort: string; count: number }>();
  readonly #examined = new Map<Invariant, number>();

  /** `sort` is a short phrase that groups findings; `what` names table, key, sequence, offset, xid. */
  add(invariant: Invariant, kind: Kind, sort: string, what: string): void {
    const name = `${invariant} ${kind} ${sort}`;
    let entry = this.#sorts.get(name);
    if (entry === undefined) {
      entry = { invariant, kind, sort, count: 0 };
      this.#sorts.set(name, entry);
    }
    if (++entry.count <= TOLD) this.#told.push({ invariant, kind, what: `${sort}: ${what}` });
  }

  /** So many things were held against an invariant: one that was held against nothing is not proved. */
  examined(invariant: Invariant, count: number): void {
    this.#examined.set(invariant, (this.#examined.get(invariant) ?? 0) + count);
  }

  get examinations(): ReadonlyMap<Invariant, number> {
    return new Map([...this.#examined].sort(([a], [b]) => a - b));
  }

  get violations(): Violation[] {
    const rest = [...this.#sorts.values()]
      .filter(({ count }) => count > TOLD)
      .map(({ invariant, kind, sort, count }) => ({ invariant, kind, what: `${sort}: ${count - TOLD} more` }));
    return [...this.#told, ...rest];
  }

  /** All of a kind, told or not. */
  count(kind: Kind): number {
    let sum = 0;
    for (const entry of this.#sorts.values()) if (entry.kind === kind) sum += entry.count;
    return sum;
  }
}

/** A value short enough for a line. */
export function brief(value: string | null | undefined): string {
  if (value === undefined) return "absent";
  if (value === null) return "null";
  return value.length <= 80 ? JSON.stringify(value) : `${JSON.stringify(value.slice(0, 60))}… (${value.length} long)`;
}
