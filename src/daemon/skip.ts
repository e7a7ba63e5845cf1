// `afterimage skip`: leaves out events at which the stream halts. Each is proved to be one first, by running into it;
// then it is published as a gap, and its table is read again where no row of it is too large for its topic.
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config/config.ts";
import { AfterimageError } from "../errors.ts";
import { parseTableName, progressTopic, quoteIdentifier, tableTopic } from "../event/identifier.ts";
import { formatLsn, parseLsn } from "../event/lsn.ts";
import { formatPosition, type Position } from "../event/position.ts";
import type { Progress } from "../event/progress.ts";
import { KafkaConnection } from "../kafka/connection.ts";
import { topicConfig } from "../kafka/topics.ts";
import { PoisonEvent, type PoisonOf } from "../sink/poison.ts";
import { readProgress } from "../sink/progress-log.ts";
import { type LongQuery, withSql } from "../source/session.ts";
import { codeOf } from "./error-policy.ts";
import { kafkaSettings } from "./preflight-kafka.ts";
import type { PlannedSkip } from "./skip-snapshots.ts";
import { StreamSession } from "./stream-session.ts";

export interface SkipOptions {
  readonly reason: string;
  /** Read no table again. */
  readonly noSnapshot: boolean;
  readonly onStep: (line: string) => void;
  readonly signal: AbortSignal;
}

const LOOK_EVERY_MS = 50;
/** A whole table may have to be looked through. */
const SCAN_MS = 3_600_000;
const CHARACTER_NOT_IN_REPERTOIRE = "22021";
/** Of a record, beside its row: names, keys, framing. */
const OVERHEAD = 0.9;

/**
 * Resolves when the gaps are durable. Throws SKIP_POSITION when the stream does not halt at one of the positions,
 * SLOT_IN_USE, and what else it halts with.
 */
export async function skipEvents(
  config: Config,
  positions: readonly Position[],
  options: SkipOptions,
): Promise<PlannedSkip[]> {
  const wanted = new Set(positions.map(formatPosition));
  await checkAhead(config, positions, options.signal);
  const planned: PlannedSkip[] = [];
  for (;;) {
    const poison = await runInto(config, positions, planned, options.signal);
    if (poison === null) {
      const missed = [...wanted].filter((text) => !planned.some(({ position }) => formatPosition(position) === text));
      if (missed.length > 0) {
        throw notHalted(missed[0]!, "the stream went past it without halting there, and published what stands there");
      }
      return planned;
    }
    const found = poison.position === null ? null : formatPosition(poison.position);
    if (found === null || !wanted.has(found) || planned.some(({ position }) => formatPosition(position) === found)) {
      throw poison;
    }
    options.onStep(`The stream halts at ${found} (${poison.code}), ${whatOf(poison.of)}.`);
    planned.push(await plan(config, poison, options));
  }
}

/** In words. */
export const whatOf = ({ table, prefix }: PoisonOf): string =>
  table === null ? `a message with prefix ${JSON.stringify(prefix)}` : `an event of ${table}`;

/** What can be told without touching anything. */
async function checkAhead(config: Config, positions: readonly Position[], signal: AbortSignal): Promise<void> {
  const stored = await withKafka(config, (kafka) => readProgress(kafka, progressTopic(config.stream)));
  const flushed = await withSql(
    config.postgres,
    `afterimage ${config.stream} skip`,
    async (client) => parseLsn((await client.query("SELECT pg_current_wal_flush_lsn()::text AS lsn")).rows[0].lsn),
    signal,
  );
  for (const position of positions) {
    const { epoch, commitLsn } = position;
    const text = formatPosition(position);
    if (stored === null || epoch !== stored.epoch) {
      throw notHalted(text, `the stream is in epoch ${stored?.epoch ?? "none"}`);
    }
    if (isPast(stored, position)) {
      throw notHalted(text, `what stands there is published already, up to ${formatLsn(stored.endLsn)}`);
    }
    if (commitLsn >= flushed) {
      throw notHalted(text, `the server has written up to ${formatLsn(flushed)} only`);
    }
  }
}

function notHalted(position: string, why: string): AfterimageError {
  return new AfterimageError(
    "SKIP_POSITION",
    `The stream does not halt at position ${position}: ${why}.`,
    "Take the position from the error with which it halts (afterimage start, or its log). Nothing else can be left out.",
  );
}

function isPast({ endLsn, last }: Progress, { commitLsn, index }: Position): boolean {
  return endLsn > commitLsn || (last !== null && last.commitLsn === commitLsn && last.index >= index);
}

/** Streams until everything up to the positions is published (null), or into the next event at which it halts. */
async function runInto(
  config: Config,
  positions: readonly Position[],
  skips: readonly PlannedSkip[],
  signal: AbortSignal,
): Promise<PoisonEvent | null> {
  try {
    const session = await StreamSession.open(config, signal, undefined, { skips, reads: false });
    const running = session.run();
    let ended = false;
    const end = () => {
      ended = true;
    };
    running.then(end, end);
    while (!ended && !signal.aborted && !positions.every((position) => isPast(session.progress, position))) {
      await sleep(LOOK_EVERY_MS);
    }
    session.stop();
    await running;
    signal.throwIfAborted();
    return null;
  } catch (error) {
    if (error instanceof PoisonEvent) {
      return error;
    }
    if (codeOf(error) === "55006") {
      throw new AfterimageError(
        "SLOT_IN_USE",
        `Replication slot ${config.postgres.slot} is in use: a daemon runs.`,
        "Stop it first (afterimage stop): only a stream that has halted can be helped past an event.",
        { cause: error },
      );
    }
    throw error;
  }
}

/** Whether the table can be read again: not while a row of it is like the one that is left out. */
async function plan(config: Config, { of, position }: PoisonEvent, options: SkipOptions): Promise<PlannedSkip> {
  const whyNot =
    of.table === null
      ? "it belongs to no table"
      : options.noSnapshot
        ? "it was not asked for"
        : await obstacle(config, of.table, options.signal);
  const reread = whyNot === null;
  const what = `skipped ${formatPosition(position!)}: ${options.reason}`;
  const reason = reread ? `snapshot: ${what}; every row of the table follows` : what;
  return { position: position!, of, reason, reread, whyNot };
}

async function obstacle(config: Config, table: string, signal: AbortSignal): Promise<string | null> {
  const name = parseTableName(table);
  const named = config.topics.find((each) => each.schema === name.schema && each.table === name.table);
  const topic = named?.topic ?? tableTopic(config.stream, name.schema, name.table);
  try {
    const limit = await withKafka(config, async (kafka) =>
      Number((await topicConfig(kafka, topic)).get("max.message.bytes")),
    );
    // No column's name, or it would stand for that column.
    const row = quoteIdentifier("row of afterimage");
    // Bytes that are not UTF-8 are an error of convert_from; other encodings have none that Postgres can't convert.
    const text = `SELECT FROM ${quoteIdentifier(name.schema)}.${quoteIdentifier(name.table)} AS ${row}
                   WHERE octet_length(to_jsonb(${row})::text) > $1
                      OR (getdatabaseencoding() IN ('SQL_ASCII', 'UTF8')
                          AND convert_from(convert_to(${row}::text, 'SQL_ASCII'), 'UTF8') IS NULL)
                   LIMIT 1`;
    const largest = Math.floor(limit * OVERHEAD);
    const tooLarge = await withSql(
      config.postgres,
      `afterimage ${config.stream} skip`,
      async (client) => {
        await client.query("SET row_security = off");
        const looking: LongQuery = { text, values: [largest], patienceMs: SCAN_MS };
        return (await client.query(looking)).rows.length > 0;
      },
      signal,
    );
    return tooLarge ? `a row of it still has more than ${largest} bytes, and topic ${topic} takes ${limit}` : null;
  } catch (error) {
    signal.throwIfAborted();
    if (codeOf(error) === CHARACTER_NOT_IN_REPERTOIRE) {
      return "a row of it still holds bytes that are not UTF-8";
    }
    return `it can't be told whether its rows fit topic ${topic} (${codeOf(error) ?? "unexpected"})`;
  }
}

async function withKafka<T>(config: Config, use: (connection: KafkaConnection) => Promise<T>): Promise<T> {
  const connection = await KafkaConnection.connect(kafkaSettings(config.kafka));
  try {
    return await use(connection);
  } finally {
    await connection.close();
  }
}
