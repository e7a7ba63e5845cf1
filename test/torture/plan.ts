// What a run will do, drawn from its seed alone: the same seed gives the same histories, faults and parameters.
import { existsSync, readFileSync } from "node:fs";
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
  const sizes: number[] = [];
  for (let left = options.rounds; left > 0; left -= perHistory) sizes.push(Math.min(left, perHistory));
  const possible = (wanted ?? FAULTS).filter((fault) => fault.needs !== "mount" || mayMount());
  const deck = new Deck(random.fork("deck"), possible);
  return sizes.map((rounds, index): HistoryPlan => {
    const own = random.fork(`history ${index}`);
    const nodes = options.nodes ?? (index % 3 === 2 ? 3 : 1);
    return {
      seed: `${options.seed}/${index}`,
      postgres: options.postgres ?? VERSIONS[index % VERSIONS.length]!,
      nodes,
      partitions: own.pick([1, 2, 4]),
      batchMaxBytes: own.pick([65_536, 65_536, 262_144, 1_048_576]),
      lingerMs: own.pick([0, 5, 20]),
      writers: own.int(3, 6),
      rounds: own.shuffle(Array.from({ length: rounds }, () => deck.draw(nodes))).map((fault) => ({
        fault: fault.name,
        parameters: fault.plan(own),
        calmMs: own.int(50, 600),
      })),
    };
  });
}

/** Root of a container usually may not. https://man7.org/linux/man-pages/man7/capabilities.7.html (CAP_SYS_ADMIN, 21) */
export function mayMount(): boolean {
  if (!existsSync("/proc/self/status")) return false;
  const effective = /^CapEff:\s+([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return ((BigInt(`0x${effective}`) >> 21n) & 1n) === 1n;
}

/** Deals every fault once before any comes twice, over all histories of a run. */
class Deck {
  readonly #random: Random;
  readonly #faults: readonly Fault[];
  #waiting: Fault[] = [];

  constructor(random: Random, faults: readonly Fault[]) {
    this.#random = random;
    this.#faults = faults;
  }

  /** For a history on so many nodes; what only three can suffer comes there first. */
  draw(nodes: 1 | 3): Fault {
    const isPossible = ({ needs }: Fault) => needs !== "cluster" || nodes === 3;
    if (!this.#waiting.some(isPossible)) {
      const fresh = this.#faults.filter((fault) => !this.#waiting.includes(fault));
      this.#waiting.push(...this.#random.shuffle(fresh));
    }
    const first = nodes === 3 ? this.#waiting.findIndex(({ needs }) => needs === "cluster") : -1;
    const at = first === -1 ? this.#waiting.findIndex(isPossible) : first;
    if (at === -1) throw new Error("None of these faults can be brought about on this cluster.");
    return this.#waiting.splice(at, 1)[0]!;
  }
}
