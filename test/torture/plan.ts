// What a run will do, drawn from its seed alone: the same seed gives the same histories, faults and parameters.
import type { PostgresVersion } from "../../dev/servers/postgres-versions.ts";
import { FAULTS } from "./nemesis/faults.ts";
import { type Random, seeded } from "./random.ts";
import type { Fault, Parameters } from "./world.ts";

export interface PlannedRound {
  readonly fault: string;
  readonly parameters: Parameters;
  /** How long the workload runs undisturbed before it; milliseconds. */
  readonly calmMs: number;
}

/** One database, one stream, one cluster, and what is done to them, one round after the other. */
export interface HistoryPlan {
  readonly seed: string;
  readonly postgres: PostgresVersion;
  /** Kafka nodes. */
  readonly nodes: 1 | 3;
  readonly partitions: number;
  readonly batchMaxBytes: number;
  readonly lingerMs: number;
  readonly writers: number;
  readonly rounds: readonly PlannedRound[];
}

export interface RunOptions {
  readonly seed: string;
  readonly rounds: number;
  /** Rounds in one history; 20 by default. */
  readonly roundsPerHistory?: number;
  /** One version for all histories; else they take turns. */
  readonly postgres?: PostgresVersion;
  /** Names of faults to choose from; all that this machine can bring about by default. */
  readonly faults?: readonly string[];
  /** Kafka nodes for all histories; else every third history has three. */
  readonly nodes?: 1 | 3;
}

const VERSIONS: readonly PostgresVersion[] = [18, 15, 17, 16];

export function planRun(options: RunOptions): HistoryPlan[] {
  const random = seeded(options.seed);
  const perHistory = options.roundsPerHistory ?? 20;
  const wanted = options.faults?.map((name) => {
    const fault = FAULTS.find((known) => known.name === name);
    if (fault === undefined) {
      throw new Error(`There is no fault "${name}". Known: ${FAULTS.map((known) => known.name).join(", ")}.`);
    }
    return fault;
  });
  const plans: HistoryPlan[] = [];
  for (let left = options.rounds; left > 0; left -= perHistory) {
    const index = plans.length;
    const own = random.fork(`history ${index}`);
    const nodes = options.nodes ?? (index % 3 === 2 ? 3 : 1);
    const possible = (wanted ?? FAULTS).filter((fault) => isPossible(fault, nodes));
    plans.push({
      seed: `${options.seed}/${index}`,
      postgres: options.postgres ?? VERSIONS[index % VERSIONS.length]!,
      nodes,
      partitions: own.pick([1, 2, 4]),
      batchMaxBytes: own.pick([65_536, 65_536, 262_144, 1_048_576]),
      lingerMs: own.pick([0, 5, 20]),
      writers: own.int(3, 6),
      rounds: planRounds(own, possible, Math.min(left, perHistory)),
    });
  }
  return plans;
}

function isPossible(fault: Fault, nodes: 1 | 3): boolean {
  return (fault.needs !== "cluster" || nodes === 3) && (fault.needs !== "root" || process.getuid?.() === 0);
}

/** Every fault once before any comes twice. */
function planRounds(random: Random, faults: readonly Fault[], count: number): PlannedRound[] {
  if (faults.length === 0) throw new Error("None of these faults can be brought about on this cluster.");
  const rounds: PlannedRound[] = [];
  let waiting: Fault[] = [];
  while (rounds.length < count) {
    if (waiting.length === 0) waiting = random.shuffle(faults);
    const fault = waiting.pop()!;
    rounds.push({ fault: fault.name, parameters: fault.plan(random), calmMs: random.int(200, 1500) });
  }
  return rounds;
}
