// A stream as a daemon would have written it, made by kafkajs's own transactional producer, so that it can be damaged
// on the way: every record and every progress record passes through the test's hands.
import type { Producer, Transaction } from "kafkajs";
import { inject } from "vitest";
import { encodeRowEvent, encodeTruncate, type RowChange } from "../../src/event/envelope.ts";
import { progressTopic, schemasTopic, tableTopic } from "../../src/event/identifier.ts";
import { toLsn } from "../../src/event/lsn.ts";
import { encodeProgress, type Progress } from "../../src/event/progress.ts";
import { RowEncoder } from "../../src/event/row-encoder.ts";
import { encodeSchema, type TableSchema } from "../../src/event/schema.ts";
import { KafkaConnection } from "../../src/kafka/connection.ts";
import { partitionOf } from "../../src/kafka/murmur2.ts";
import { createTopic, describeTopics } from "../../src/kafka/topics.ts";
import { uniqueStream } from "./database.ts";
import { deleteTopics, kafkaClient } from "./topics.ts";

/** Insert and delete name an id, `move` two; a row is `{ id, name }`. */
export type ForgedChange =
  | { readonly insert: number; readonly name?: string }
  | { readonly update: number; readonly name: string }
  | { readonly delete: number }
  | { readonly move: number; readonly to: number }
  | "truncate";

export interface ForgedMessage {
  topic: string;
  partition: number;
  key: string | null;
  value: string;
  readonly sequence: number;
}

export interface ForgedBatch {
  readonly messages: ForgedMessage[];
  readonly progress: Progress;
}

/** What a test does to a batch before it is sent; the progress is made once offsets are known. */
export interface Damage {
  messages?(messages: ForgedMessage[]): ForgedMessage[];
  /** Null: none is written. */
  progress?(progress: Progress): Progress | null;
}

/** Three batches: the one in the middle, sequences 4 to 14, is what a test damages. */
export async function tellStory(stream: ForgedStream, damage: Damage = {}): Promise<void> {
  await stream.publish([["public.a", [{ insert: 1 }, { insert: 2 }, { insert: 3 }]]]);
  await stream.publish(
    [
      ["public.a", [{ insert: 4 }, { update: 1, name: "x" }, { move: 2, to: 20 }]], // 4, 5, 6, 7
      ["public.b", [{ insert: 1 }, "truncate", { insert: 2 }]], // 8, 9, 10
      ["public.bare", [{ insert: 7 }, { insert: 7 }]], // 11, 12
      ["public.a", [{ delete: 3 }, { insert: 3 }]], // 13, 14
    ],
    damage,
  );
  await stream.publish([["public.b", [{ update: 2, name: "y" }]]]);
}

const PARTITIONS = 4;
const TABLES = ["public.a", "public.b", "public.bare"];

export class ForgedStream {
  readonly name = uniqueStream();
  readonly brokers = inject("brokers");
  readonly #producer: Producer;
  readonly #encoders = new Map<string, RowEncoder>();
  #sequence = 0;
  #commit = 1000n;
  progress: Progress;

  private constructor() {
    const kafka = kafkaClient(this.brokers);
    this.#producer = kafka.producer({ transactionalId: this.name, idempotent: true, maxInFlightRequests: 1 });
    this.progress = {
      stream: this.name,
      epoch: 1,
      firstSequence: 1,
      sequence: 0,
      completeSequence: 0,
      endLsn: toLsn(this.#commit),
      last: null,
      systemId: "1",
      timeline: 1,
      database: 5,
      slot: "s",
      publication: 1,
      resume: "r",
      partitions: new Map(),
      snapshot: [],
    };
  }

  /** With tables `public.a` and `public.b` (key `id`), and `public.bare` without a key; a first progress record. */
  static async open(configs: Record<string, string> = {}): Promise<ForgedStream> {
    const stream = new ForgedStream();
    await stream.#producer.connect();
    await stream.#createTopics(configs);
    await stream.#writeSchemas();
    await stream.#commitRecords([], () => stream.progress);
    return stream;
  }

  async drop(): Promise<void> {
    await this.#producer.disconnect();
    await deleteTopics(this.brokers, `${this.name}.`);
  }

  topic(table: string): string {
    return tableTopic(this.name, "public", table.replace("public.", ""));
  }

  partition(id: number): number {
    return partitionOf(`{"id":"${id}"}`, PARTITIONS);
  }

  /** The first id from `from` on whose record belongs there. */
  idIn(partition: number, from = 1): number {
    return this.partition(from) === partition ? from : this.idIn(partition, from + 1);
  }

  /** One Kafka transaction of several source transactions, each a table with its changes. */
  async publish(
    transactions: readonly (readonly [string, readonly ForgedChange[]])[],
    damage: Damage = {},
  ): Promise<void> {
    const messages: ForgedMessage[] = [];
    for (const [table, changes] of transactions) {
      messages.push(...this.#encode(table, changes));
    }
    const before = this.progress;
    await this.#commitRecords(damage.messages?.(messages) ?? messages, (offsets) => {
      const partitions = new Map<string, Map<number, { sequence: number; offset: bigint }>>();
      for (const { topic, partition, sequence } of messages) {
        const positions = partitions.get(topic) ?? new Map();
        positions.set(partition, { sequence, offset: offsets(topic, partition) });
        partitions.set(topic, positions);
      }
      const last = JSON.parse(messages.at(-1)!.value);
      this.progress = {
        ...before,
        firstSequence: before.sequence + 1,
        sequence: this.#sequence,
        completeSequence: this.#sequence,
        endLsn: toLsn(this.#commit + 50n),
        last: {
          commitLsn: toLsn(this.#commit),
          xid: last.transaction.id,
          timestamp: last.timestamp,
          index: last.transaction.index,
          complete: true,
        },
        partitions,
      };
      return damage.progress === undefined ? this.progress : damage.progress(this.progress);
    });
  }

  /** Any records without a progress record. */
  async write(messages: readonly Omit<ForgedMessage, "sequence">[]): Promise<void> {
    await this.#commitRecords(messages, () => null);
  }

  async #commitRecords(
    messages: readonly Omit<ForgedMessage, "sequence">[],
    progress: (offsets: (topic: string, partition: number) => bigint) => Progress | null,
  ): Promise<void> {
    const transaction: Transaction = await this.#producer.transaction();
    const ends = new Map<string, bigint>();
    const byTopic = Map.groupBy(messages, ({ topic }) => topic);
    if (byTopic.size > 0) {
      const written = await transaction.sendBatch({
        topicMessages: [...byTopic].map(([topic, members]) => ({ topic, messages: [...members] })),
      });
      for (const { topicName, partition, baseOffset } of written) {
        const count = messages.filter((each) => each.topic === topicName && each.partition === partition).length;
        ends.set(`${partition} ${topicName}`, BigInt(baseOffset ?? 0) + BigInt(count) - 1n);
      }
    }
    const record = progress((topic, partition) => ends.get(`${partition} ${topic}`) ?? 0n);
    if (record !== null) {
      const value = encodeProgress(record);
      await transaction.send({ topic: progressTopic(this.name), messages: [{ partition: 0, key: this.name, value }] });
    }
    await transaction.commit();
  }

  #encode(table: string, changes: readonly ForgedChange[]): ForgedMessage[] {
    const encoder = this.#encoders.get(table)!;
    const topic = this.topic(table);
    this.#commit += 1000n;
    const transaction = {
      id: String(700n + this.#commit / 1000n),
      epoch: 1,
      commitLsn: toLsn(this.#commit),
      timestamp: "2026-11-22T18:00:00.123456Z",
    };
    const events = changes.flatMap(rowChanges);
    return events.flatMap((change, at) => {
      const place = { sequence: ++this.#sequence, index: at + 1, last: at === events.length - 1 };
      const { sequence } = place;
      if (change === "truncate") {
        const value = encodeTruncate(encoder, PARTITIONS, transaction, place);
        return Array.from({ length: PARTITIONS }, (_, partition) => ({ topic, partition, key: null, value, sequence }));
      }
      const key = encoder.recordKey(change.operation === "delete" ? change.old : change.new);
      const partition = partitionOf(key ?? table, PARTITIONS);
      return [{ topic, partition, key, value: encodeRowEvent(change, encoder, transaction, place), sequence }];
    });
  }

  async #createTopics(configs: Record<string, string>): Promise<void> {
    const connection = await KafkaConnection.connect({ brokers: this.brokers, clientId: "afterimage-test" });
    const make = (name: string, partitions: number, own: Record<string, string> = {}) =>
      createTopic(connection, { name, partitions, replicationFactor: -1, configs: own });
    await make(progressTopic(this.name), 1);
    await make(schemasTopic(this.name), 1);
    for (const table of TABLES) {
      await make(this.topic(table), PARTITIONS, configs);
    }
    await connection.close();
  }

  async #writeSchemas(): Promise<void> {
    const connection = await KafkaConnection.connect({ brokers: this.brokers, clientId: "afterimage-test" });
    const topics = await describeTopics(
      connection,
      TABLES.map((table) => this.topic(table)),
    );
    await connection.close();
    const schemas = TABLES.map(
      (table, at): TableSchema => ({
        schema: at + 1,
        table,
        oid: 16_000 + at,
        publicationRel: null,
        topicId: topics.get(this.topic(table))!.id,
        identity: table === "public.bare" ? "f" : "d",
        readAt: toLsn(1n),
        columns: [
          { name: "id", type: "int4", oid: 23, typmod: -1, key: table === "public.bare" ? null : 1 },
          { name: "name", type: "text", oid: 25, typmod: -1, key: null },
        ],
      }),
    );
    for (const schema of schemas) {
      this.#encoders.set(schema.table, new RowEncoder(schema));
    }
    await this.#commitRecords(
      schemas.map((schema) => ({
        topic: schemasTopic(this.name),
        partition: 0,
        key: String(schema.schema),
        value: encodeSchema(schema),
      })),
      () => null,
    );
  }
}

function rowChanges(change: ForgedChange): (RowChange | "truncate")[] {
  if (change === "truncate") {
    return [change];
  }
  const row = (id: number, name: string | null) => [String(id), name];
  if ("insert" in change) {
    return [{ operation: "insert", new: row(change.insert, change.name ?? null), previousKey: null }];
  }
  if ("update" in change) {
    return [{ operation: "update", old: null, new: row(change.update, change.name) }];
  }
  if ("delete" in change) {
    const old = row(change.delete, null);
    return [{ operation: "delete", old, oldIsWhole: false, nextKey: null, unchanged: [] }];
  }
  const [old, next] = [row(change.move, null), row(change.to, "moved")];
  return [
    { operation: "delete", old, oldIsWhole: false, nextKey: next, unchanged: [] },
    { operation: "insert", new: next, previousKey: old },
  ];
}
