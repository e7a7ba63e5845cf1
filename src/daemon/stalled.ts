// Says so when Kafka lets a batch wait.
import { AfterimageError } from "../errors.ts";

/** A batch usually takes milliseconds; so long without an outcome, and the daemon no longer says that it streams. */
const STALLED_MS = 3_000;

/** `waitingMs`: for how long Kafka has had a batch without an outcome. Null while that is nothing unusual. */
export function stalled(waitingMs: number): AfterimageError | null {
  return waitingMs < STALLED_MS
    ? null
    : new AfterimageError(
        "KAFKA_NOT_READY",
        `Kafka has not taken a batch for ${Math.floor(waitingMs / 1000)} s.`,
        "Look at the brokers: whether they run, have leaders and in-sync replicas for the stream's topics, and room on their disks. It goes on by itself.",
      );
}
