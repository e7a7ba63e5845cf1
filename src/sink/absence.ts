// A Kafka that does not answer for a while is waited for in place: a session opened afresh would start decoding all over
// again, and Postgres would see its client come and go.
import { setTimeout as sleep } from "node:timers/promises";
import { AfterimageError } from "../errors.ts";

/** Longer than that, and the slot is let go: a daemon elsewhere may reach the brokers. */
const PATIENCE_MS = 120_000;
export const TRY_AGAIN_MS = 250;

/** KAFKA_OUTCOME_UNKNOWN: the coordinator may answer all the time while a partition has no leader. */
const AWAY = new Set(["KAFKA_UNREACHABLE", "KAFKA_NOT_READY", "KAFKA_OUTCOME_UNKNOWN"]);

/** Whether a failure may still be waited out; counts from the first one after `answered`. */
export class Absence {
  readonly #patienceMs: number;
  #since: number | null = null;
  #reason: AfterimageError | null = null;

  constructor(patienceMs = PATIENCE_MS) {
    this.#patienceMs = patienceMs;
  }

  /** The last failure; null since Kafka answered. */
  get reason(): AfterimageError | null {
    return this.#reason;
  }

  answered(): void {
    this.#since = null;
    this.#reason = null;
  }

  bears(error: unknown): boolean {
    if (!(error instanceof AfterimageError) || !AWAY.has(error.code)) {
      return false;
    }
    this.#since ??= performance.now();
    this.#reason = error;
    return performance.now() - this.#since < this.#patienceMs;
  }
}

/** Repeats a step that may be repeated while Kafka is away, for as long as `absence` bears it. */
export async function throughAbsence<T>(step: () => Promise<T>, absence: Absence): Promise<T> {
  for (;;) {
    try {
      return await step();
    } catch (error) {
      if (!absence.bears(error)) {
        throw error;
      }
      await sleep(TRY_AGAIN_MS);
    }
  }
}

/** A batch usually takes milliseconds; so long without an outcome, and the daemon no longer says that it streams. */
const STALLED_MS = 3_000;

/** Why nothing gets through, when Kafka has had a batch for so long without an outcome; null before. */
export function stalled(waitingMs: number): AfterimageError | null {
  return waitingMs < STALLED_MS
    ? null
    : new AfterimageError(
        "KAFKA_NOT_READY",
        `Kafka has not taken a batch for ${Math.floor(waitingMs / 1000)} s.`,
        "Look at the brokers: whether they run, have leaders and in-sync replicas for the stream's topics, and room on their disks. It goes on by itself.",
      );
}
