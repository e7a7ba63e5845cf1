// Writes a stream's events to Kafka as the daemon would, through kafkajs's own transactional producer, so that the
// SDK is tested on real topics without the daemon.
import type { Producer } from "kafkajs";
import { inject } from "vitest";
import { type ColumnValue, UNCHANGED } from "../../src/event/column-value.ts";
import { encodeRowEvent, encodeTruncate, type RowChange } from "../../src/event/envelope.ts";
import { parseTableName, tableTopic } from "../../src/event/identifier.ts";
import { toLsn, ZERO_LSN } from "../../src/event/lsn.ts";
import { RowEncoder, type RowValues } from "../../src/event/row-encoder.ts";
import { partitionOf } from "../../src/kafka/murmur2.ts";
import { unique } from "./database.ts";
import { kafkaClient, makeTopics, removeTopics as remove } from "./topics.ts";

/** Postgres text, null, or UNCHANGED by column; a column left out is null. */
export type TextRow = Readonly<Record<string, ColumnValue>>;

export type Change =
  | { readonly insert: TextRow }
  | { readonly update: TextRow; readonly old?: TextRow }
  | { readonly delete: TextRow }
  /** A key change: delete of the old key, insert of the new row. */
  | { readonly move: TextRow; readonly to: TextRow }
  | "truncate";

export interface WrittenTable {
  readonly table: string;
  /** Name, type OID, and 1-based place in the key or null. */
  readonly columns: readonly (readonly [name: string, oid: number, key: number | null])[];
}

export interface StreamWriterOptions {
  readonly stream: string;
  readonly tables: readonly WrittenTable[];
  readonly partitions?: number;
  readonly brokers?: string[];
  /** For a second writer of the same stream: the sequence it goes on from. */
  readonly sequence?: number;
}

export const TEXT = 25;
export const INT4 = 23;
export const INT8 = 20;
export const NUMERIC = 1700;
export const TIMESTAMPTZ = 1184;

interface Message {
  topic: string;
  partition: number;
  key: string | null;
  value: string;
}

export class StreamWriter {
  /** Of the last event written. */
  sequence: number;
  readonly topics: ReadonlyMap<string, string>;
  readonly #encoders: ReadonlyMap<string, RowEncoder>;
  readonly #producer: Producer;
  readonly #partitions: number;
  #lsn = 1n;

  private constructor(options: StreamWriterOptions, producer: Producer) {
    this.sequence = options.sequence ?? 0;
    this.#partitions = options.partitions ?? 4;
    this.#producer = producer;
    this.topics = new Map(options.tables.map(({ table }) => [table, topicOf(options.stream, table)]));
    this.#encoders = new Map(options.tables.map((table, at) => [table.table, encoderOf(table, at + 1)]));
  }

  /** Creates the topics that are missing. */
  static async open(options: StreamWriterOptions): Promise<StreamWriter> {
    const brokers = options.brokers ?? inject("brokers");
    const kafka = kafkaClient(brokers);
    const transactionalId = unique(`writer_${options.stream}`);
    const producer = kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1 });
    const writer = new StreamWriter(options, producer);
    await makeTopics(
      brokers,
      [...writer.topics.values()].map((topic) => ({
        topic,
        numPartitions: writer.#partitions,
        configEntries: [{ name: "message.timestamp.type", value: "LogAppendTime" }],
      })),
    );
    await producer.connect();
    return writer;
  }

  close(): Promise<void> {
    return this.#producer.disconnect();
  }

  /** One source transaction on one table, in one Kafka transaction. Gives the sequence of its last event. */
  async publish(table: string, changes: readonly Change[]): Promise<number> {
    await this.send(this.encode(table, changes));
    return this.sequence;
  }

  /** The same, aborted: its sequences are not used up. */
  async publishAborted(table: string, changes: readonly Change[]): Promise<void> {
    const { sequence } = this;
    await this.send(this.encode(table, changes), "abort");
    this.sequence = sequence;
  }

  /** Any records, in one Kafka transaction. */
  async send(messages: readonly Message[], end: "commit" | "abort" = "commit"): Promise<void> {
    const transaction = await this.#producer.transaction();
    const byTopic = Map.groupBy(messages, ({ topic }) => topic);
    await transaction.sendBatch({
      topicMessages: [...byTopic].map(([topic, members]) => ({ topic, messages: [...members] })),
    });
    await transaction[end]();
  }

  /** The records of one source transaction, with the next sequences. */
  encode(table: string, changes: readonly Change[]): Message[] {
    const encoder = this.#encoders.get(table)!;
    const topic = this.topics.get(table)!;
    this.#lsn += 1000n;
    const transaction = {
      id: String(700n + this.#lsn / 1000n),
      epoch: 1,
      commitLsn: toLsn(this.#lsn),
      timestamp: new Date().toISOString().replace("Z", "000Z"),
    };
    const events = changes.flatMap((change) => rowChanges(encoder, change));
    return events.flatMap((change, at) => {
      const place = { sequence: ++this.sequence, index: at + 1, last: at === events.length - 1 };
      if (change === "truncate") {
        const value = encodeTruncate(encoder, this.#partitions, transaction, place);
        return Array.from({ length: this.#partitions }, (_, partition) => ({ topic, partition, key: null, value }));
      }
      const key = encoder.recordKey(change.operation === "delete" ? change.old : change.new);
      const partition = partitionOf(key ?? table, this.#partitions);
      return [{ topic, partition, key, value: encodeRowEvent(change, encoder, transaction, place) }];
    });
  }
}

function rowChanges(encoder: RowEncoder, change: Change): (RowChange | "truncate")[] {
  if (change === "truncate") {
    return [change];
  }
  const values = (row: TextRow): RowValues => encoder.schema.columns.map(({ name }) => row[name] ?? null);
  if ("insert" in change) {
    return [{ operation: "insert", new: values(change.insert), previousKey: null }];
  }
  if ("update" in change) {
    return [{ operation: "update", old: change.old ? values(change.old) : null, new: values(change.update) }];
  }
  if ("delete" in change) {
    return [{ operation: "delete", old: values(change.delete), oldIsWhole: false, nextKey: null, unchanged: [] }];
  }
  const [old, next] = [values(change.move), values(change.to)];
  const unchanged = encoder.schema.columns.filter((_, at) => next[at] === UNCHANGED).map(({ name }) => name);
  return [
    { operation: "delete", old, oldIsWhole: false, nextKey: next, unchanged },
    { operation: "insert", new: next, previousKey: old },
  ];
}

function topicOf(stream: string, table: string): string {
  const { schema, table: name } = parseTableName(table);
  return tableTopic(stream, schema, name);
}

function encoderOf({ table, columns }: WrittenTable, id: number): RowEncoder {
  return new RowEncoder({
    schema: id,
    table,
    oid: 16_000 + id,
    publicationRel: null,
    topicId: "",
    identity: "d",
    readAt: ZERO_LSN,
    columns: columns.map(([name, oid, key]) => ({ name, type: "", oid, typmod: -1, key })),
  });
}

/** Deletes the stream's topics and waits until Kafka no longer lists them. */
export function removeTopics(topics: Iterable<string>, brokers: string[] = inject("brokers")): Promise<void> {
  return remove(brokers, topics);
}
