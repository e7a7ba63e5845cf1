// A whole verification: reads the stream up to its last progress record, and folds it against the tables if asked.
import { formatLsn } from "../event/lsn.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { DatabaseCheck, type DatabaseOptions } from "./database-check.ts";
import { Findings } from "./finding.ts";
import { type Layout, readBounds, readLayout, readTarget, type Target } from "./layout.ts";
import { resultOf, type Tolerance, type VerifyReport } from "./report.ts";
import { StreamCheck } from "./stream-check.ts";

export interface VerifyOptions extends Tolerance {
  readonly stream: string;
  /** Null: from Kafka alone. */
  readonly database: DatabaseOptions | null;
  readonly onProgress?: (sequence: number, target: number) => void;
  /** Once for each thing that takes a while. */
  readonly onStep?: (line: string) => void;
  /** How long an open transaction may hide records; 75 s by default, the daemon's own end after 60. */
  readonly heldPatienceMs?: number;
}

/**
 * Throws VERIFY_NOTHING, VERIFY_HELD, TOPIC_MISSING, SCHEMA_FOREIGN and the errors of connections; with a database also
 * VERIFY_BEHIND, VERIFY_NOT_ALLOWED, VERIFY_DISK, SERVER_FOREIGN and those of `DatabaseCheck.open`.
 */
export async function verify(connection: KafkaConnection, options: VerifyOptions): Promise<VerifyReport> {
  const started = performance.now();
  const { stream } = options;
  const findings = new Findings();
  const check = new StreamCheck(connection, stream, findings, {
    heldPatienceMs: options.heldPatienceMs ?? 75_000,
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  });
  const extend = async (next: Target): Promise<Layout> => {
    const found = await readLayout(connection, next.progress, findings);
    check.extend(next, await readBounds(connection, found.topics), found.schemas.values());
    return found;
  };
  let target = await readTarget(connection, stream);
  let layout = await extend(target);
  const database =
    options.database === null ? null : await DatabaseCheck.open(options.database, check, target.progress, findings);
  try {
    if (database === null) {
      await check.run(() => undefined);
    } else {
      target = await database.fold(layout, {
        readTarget: () => readTarget(connection, stream),
        extend: async (next) => {
          layout = await extend(next);
          return layout;
        },
        onStep: options.onStep ?? (() => undefined),
      });
    }
    await check.finish();
    const compared = database === null ? null : await database.compare(options.onStep ?? (() => undefined));
    const { events, barriers, transactions, progressRecords, partitions, vectorsFrom } = check.counts;
    return {
      stream,
      result: resultOf(findings, options),
      target: {
        sequence: target.progress.sequence,
        endLsn: formatLsn(target.progress.endLsn),
        offset: String(target.offset),
      },
      events,
      barriers,
      transactions,
      progressRecords,
      topics: layout.topics.length,
      partitions,
      provenFrom: check.provenFrom,
      vectorsFrom,
      database: compared,
      findings: findings.kept,
      counts: findings.counts,
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await database?.close();
  }
}
