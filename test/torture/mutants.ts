// Ways in which a history can be wrong, each as a change of faultless evidence. A checker that lets one pass is a defect.
import { isDeepStrictEqual } from "node:util";
import type { Evidence } from "./evidence.ts";
import { AROUND_MUTANTS } from "./mutants-around.ts";
import { CONTENT_MUTANTS } from "./mutants-content.ts";
import { EVENT_MUTANTS } from "./mutants-events.ts";
import { NUMBER_MUTANTS } from "./mutants-numbers.ts";
import { POSITION_MUTANTS } from "./mutants-positions.ts";
import { RECORD_MUTANTS } from "./mutants-records.ts";
import { SCHEMA_MUTANTS } from "./mutants-schemas.ts";
import { VIEW_MUTANTS } from "./mutants-view.ts";
import type { Invariant, Violation } from "./violation.ts";

export interface Mutant {
  readonly name: string;
  /** Findings that must be among the checker's: invariant, how the last line counts it, and how its text begins. */
  readonly finds: readonly (readonly [invariant: Invariant, kind: Violation["kind"], what: string])[];
  /** Throws when the evidence has nothing that could be broken in this way. */
  readonly mutate: (evidence: Evidence) => Evidence;
}

/** Throws also when the mutant leaves everything as it is: then its victim was badly chosen, and nothing would be tried. */
export function mutated({ name, mutate }: Mutant, evidence: Evidence): Evidence {
  const result = mutate(evidence);
  if (isDeepStrictEqual(result, evidence)) throw new Error(`The mutant "${name}" changes nothing.`);
  return result;
}

export const MUTANTS: readonly Mutant[] = [
  ...EVENT_MUTANTS,
  ...NUMBER_MUTANTS,
  ...CONTENT_MUTANTS,
  ...VIEW_MUTANTS,
  ...POSITION_MUTANTS,
  ...RECORD_MUTANTS,
  ...SCHEMA_MUTANTS,
  ...AROUND_MUTANTS,
];
