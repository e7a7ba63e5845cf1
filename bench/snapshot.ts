// How fast a whole table is read: by a snapshot of the daemon into Kafka, and by COPY … TO STDOUT into nothing.
import pg from "pg";
import { readTopic } from "../dev/servers/topics.ts";
import { COMMAND_HEADER } from "../src/daemon/admin-server.ts";
import { parseProgress } from "../src/event/progress.ts";
import { type Backlog, STREAM, TABLE_NAME } from "./backlog.ts";
import type { DaemonDrain } from "./drain.ts";

export interface SnapshotRound {
  readonly round: number;
  readonly rows: number;
  /** From the gap to the sweep, by the broker's clock. */
  readonly snapshotRowsPerSecond: number;
  /** User and system time of the daemon; null where the system has no /proc. */
  readonly cpuMicrosecondsPerRow: number | null;
  readonly copyRowsPerSecond: number;
  readonly ratio: number;
}

/** `sequence`: of the event published last. Needs the daemon running, with nothing to drain. */
export async function snapshotRound(
  daemon: DaemonDrain,
  backlog: Backlog,
  brokers: string[],
  { round, rows, sequence }: { round: number; rows: number; sequence: number },
): Promise<SnapshotRound> {
  // Whoever comes second finds the table in the page cache: they take turns.
  const first = round % 2 === 1 ? null : await copy(backlog.url, rows);
  const cpuBefore = await daemon.cpuSeconds();
  await ask(daemon.adminAddress);
  await daemon.reached(sequence + rows + 2);
  const cpuAfter = await daemon.cpuSeconds();
  const copied = first ?? (await copy(backlog.url, rows));
  const times = (await readTopic(brokers, `${STREAM}.progress`))
    .map(({ timestamp, value }) => ({ timestamp, progress: parseProgress(value ?? "") }))
    .filter(({ progress }) => progress.firstSequence > sequence && progress.sequence >= progress.firstSequence)
    .map(({ timestamp }) => timestamp);
  const snapshot = Math.round((rows * 1000) / (times.at(-1)! - times[0]!));
  return {
    round,
    rows,
    snapshotRowsPerSecond: snapshot,
    cpuMicrosecondsPerRow:
      cpuBefore === null || cpuAfter === null ? null : Math.round(((cpuAfter - cpuBefore) / rows) * 1e7) / 10,
    copyRowsPerSecond: copied,
    ratio: Math.round((snapshot / copied) * 100) / 100,
  };
}

async function ask(adminAddress: string): Promise<void> {
  const init = { method: "POST", headers: { [COMMAND_HEADER]: "snapshot" } };
  const response = await fetch(`${adminAddress}/snapshot?table=${TABLE_NAME}`, init);
  if (!response.ok) {
    throw new Error(`The snapshot was refused: ${await response.text()}`);
  }
}

/** Rows a second; the driver parses the messages of COPY and throws them away. */
async function copy(url: string, rows: number): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const started = performance.now();
    await client.query(`COPY ${TABLE_NAME} TO STDOUT`);
    return Math.round((rows * 1000) / (performance.now() - started));
  } finally {
    await client.end();
  }
}
