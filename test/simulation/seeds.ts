// Runs a range of seeds and adds up what came of them.
import { type Outcome, simulate } from "./simulation.ts";

export interface Totals {
  seeds: number;
  events: number;
  commits: number;
  steps: number;
  /** Kinds of faults, and how often each came. */
  readonly faults: Map<string, number>;
  readonly failpoints: Set<string>;
  readonly broken: string[];
}

/** `onBroken` says whether to go on. */
export async function runSeeds(
  from: number,
  count: number,
  onBroken: (line: string) => boolean = () => true,
): Promise<Totals> {
  const totals: Totals = {
    seeds: 0,
    events: 0,
    commits: 0,
    steps: 0,
    faults: new Map(),
    failpoints: new Set(),
    broken: [],
  };
  for (let seed = from; seed < from + count; seed++) {
    const outcome = await simulate(seed);
    add(totals, outcome);
    if (outcome.violation !== null) {
      const line = `seed ${seed}: ${outcome.violation}. Replay: npm run simulate -- --seed ${seed}`;
      totals.broken.push(line);
      if (!onBroken(line)) {
        break;
      }
    }
  }
  return totals;
}

function add(totals: Totals, outcome: Outcome): void {
  totals.seeds++;
  totals.events += outcome.events;
  totals.commits += outcome.commits;
  totals.steps += outcome.steps;
  for (const [kind, count] of outcome.faults) {
    totals.faults.set(kind, (totals.faults.get(kind) ?? 0) + count);
  }
  for (const name of outcome.failpoints) {
    totals.failpoints.add(name);
  }
}
