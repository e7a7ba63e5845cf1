// What the log says of tables that are being read: a line for each every ten seconds.
import type { SnapshotStatus } from "./status.ts";

const EVERY_MS = 10_000;

export class SnapshotLog {
  #toldAt = Number.NEGATIVE_INFINITY;

  /** Lines that are due. Of a table that waits to be read, or was read within moments, there is none. */
  lines(snapshots: readonly SnapshotStatus[], now = performance.now()): string[] {
    if (snapshots.length === 0 || now - this.#toldAt < EVERY_MS) {
      return [];
    }
    const lines = snapshots.filter(({ rows, waitingFor }) => rows > 0 || waitingFor !== null).map(describe);
    if (lines.length > 0) {
      this.#toldAt = now;
    }
    return lines;
  }
}

function describe({ table, rows, estimatedRows, rowsPerSecond, secondsLeft, waitingFor }: SnapshotStatus): string {
  const part = estimatedRows === null || estimatedRows === 0 ? null : Math.min(100, (100 * rows) / estimatedRows);
  return [
    `reading ${table}: ${part === null ? "" : `${Math.floor(part)} %, `}${rows} rows`,
    ...(rowsPerSecond > 0 ? [`${rowsPerSecond} a second`] : []),
    ...(secondsLeft === null ? [] : [`${secondsLeft} s left`]),
    ...(waitingFor === null ? [] : [`waits for ${waitingFor}`]),
  ].join(", ");
}
