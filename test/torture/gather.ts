// Everything that was observed of a history, at its end or where it broke off: each part by itself, so that one that
// can't be had does not take the others along.
import { messageOf } from "../../src/errors.ts";
import { type Follower, readStream } from "./collect-kafka.ts";
import { collectPostgres } from "./collect-postgres.ts";
import { inTime } from "./deadline.ts";
import type { Evidence, RoundTimes, Verified, ViewLook, Watch } from "./evidence.ts";
import type { HistoryPlan } from "./plan.ts";
import type { RealWorld } from "./real-world.ts";
import { appliedCount, readView } from "./view-reader.ts";
import { CONSTANT_SUM, SEEDED_SUM } from "./workload/setup.ts";

const READ_MS = 180_000;

export interface Observed {
  readonly plan: HistoryPlan;
  readonly follower: Follower | null;
  readonly looks: readonly ViewLook[];
  readonly rounds: readonly RoundTimes[];
  readonly watch: Watch;
  /** False when the history broke off and the stream did not reach what was committed. */
  readonly whole: boolean;
  readonly verified: Verified | null;
}

export interface Gathered {
  readonly evidence: Evidence;
  /** How many events the view noted as applied; null when that says nothing. */
  readonly applied: number | null;
  /** Source or stream could not be read: nothing of the stream can be judged. */
  readonly isWithoutStream: boolean;
  /** What could not be had, and why. */
  readonly missing: readonly string[];
}

/** To be called when neither daemon nor view runs any more. */
export async function gather(world: RealWorld, observed: Observed): Promise<Gathered> {
  const { plan, follower, whole } = observed;
  const missing: string[] = [];
  const attempt = async <T>(what: string, read: () => Promise<T> | T): Promise<T | null> => {
    try {
      return await inTime(Promise.resolve(read()), READ_MS, what);
    } catch (error) {
      missing.push(`${what}: ${messageOf(error)}`);
      return null;
    }
  };
  if (whole) await attempt("the reader that follows", () => follower?.reached());
  await attempt("the end of the samples", () => world.sampler.stop());
  const postgres = await attempt("the source", () =>
    collectPostgres(world.url, { stream: world.stream, partitions: plan.partitions }),
  );
  const kafka = await attempt("the stream", () => readStream(world.kafka.brokers, world.stream));
  const readViewOf = (tables: Evidence["tables"]) => attempt("the view", () => readView(world.viewFile, tables));
  const view = whole && postgres !== null ? await readViewOf(postgres.tables) : null;
  const evidence: Evidence = {
    ...{
      stream: world.stream,
      whole,
      view,
      verified: observed.verified,
      watch: observed.watch,
      looks: observed.looks,
      rounds: observed.rounds,
    },
    ...(postgres ?? WITHOUT_SOURCE),
    ...(kafka ?? { records: [], progress: [], schemas: [] }),
    followed: follower?.records ?? [],
    ...{ positions: world.sampler.positions, health: world.sampler.health, dark: world.dark },
    exits: world.processes.exits(),
  };
  const applied = whole ? await attempt("the view's notes", () => appliedCount(world.viewFile)) : null;
  return { evidence, applied, isWithoutStream: postgres === null || kafka === null, missing };
}

const WITHOUT_SOURCE = {
  ...{ tables: [], audit: [], commits: [], statuses: new Map(), contents: new Map(), catalog: new Map() },
  constantSum: { ...CONSTANT_SUM, value: SEEDED_SUM },
};
