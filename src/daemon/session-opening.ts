// What a session is opened with, and what holds it together meanwhile: what was lost, who closes what is open already.
import type pg from "pg";
import { AfterimageError } from "../errors.ts";
import type { EpochWish } from "./new-epoch.ts";
import type { PlannedSkip } from "./skip-snapshots.ts";

/** What is known of the connections while a session is opened. */
export interface Lost {
  /** The first loss. */
  error?: Error;
  onLost: (error: Error) => void;
  /** The connection that makes publication and slot. */
  catalog: pg.Client | null;
  /** The attempt has failed: that the stream is then closed is no loss of it. */
  isOver: boolean;
}

/** What an operator asks of the session beside streaming. */
export interface Asked {
  readonly wish?: EpochWish | null;
  readonly skips?: readonly PlannedSkip[];
  /** Whether snapshots go on. */
  readonly reads?: boolean;
}

/** A batch usually takes milliseconds; so long without an outcome, and the daemon no longer says that it streams. */
const STALLED_MS = 3_000;

/** Null while that is no reason to speak of. */
export function stalled(waitingMs: number): AfterimageError | null {
  return waitingMs < STALLED_MS
    ? null
    : new AfterimageError(
        "KAFKA_NOT_READY",
        `Kafka has not taken a batch for ${Math.floor(waitingMs / 1000)} s.`,
        "Look at the brokers: whether they run, have leaders and in-sync replicas for the stream's topics, and room on their disks. It goes on by itself.",
      );
}
