// Brings a table's rows from where they are to the end of its topic: the events since, from all partitions, in the order
// of their sequence. Nobody writes to the topic meanwhile; what it holds is committed, and accounted for.
import { AfterimageError } from "../errors.ts";
import { parseLsn } from "../event/lsn.ts";
import { RowEncoder } from "../event/row-encoder.ts";
import type { TableSchema } from "../event/schema.ts";
import { failpoint } from "../failpoint.ts";
import { type CommittedRecord, fetchCommitted } from "../kafka/committed-reader.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { filled } from "./complete-change.ts";
import type { ImageFile, ImagePosition } from "./image-file.ts";
import { parseStored, valuesOf } from "./stored-event.ts";
import type { TableImages } from "./table-images.ts";

type StoredEvent = ReturnType<typeof parseStored>;

export interface Read {
  readonly record: CommittedRecord;
  readonly json: string;
  readonly event: StoredEvent;
}

/** Where a partition is to be read from, and to. */
export interface Span {
  /** The next record. */
  readonly from: bigint;
  readonly end: bigint;
}

/** Events between two writes to the file. */
const EVENTS_A_STEP = 5_000;

export interface CatchUpParts {
  readonly connection: KafkaConnection;
  readonly file: ImageFile;
  readonly schemas: ReadonlyMap<number, TableSchema>;
}

/** Throws SCHEMAS_MISSING, ENVELOPE_INVALID, IMAGES_FAILED and what `fetchPartitions` throws. */
export async function catchUp(
  images: TableImages,
  spans: ReadonlyMap<number, Span>,
  { connection, file, schemas }: CatchUpParts,
): Promise<void> {
  const encoders = new Map<number, RowEncoder>();
  const shapeOf = (id: number): RowEncoder => {
    const schema = schemas.get(id);
    if (schema === undefined) {
      throw schemaMissing(images.topic, id);
    }
    const encoder = encoders.get(id) ?? new RowEncoder(schema);
    encoders.set(id, encoder);
    return encoder;
  };
  const reader = new InOrder(connection, images.topic, spans);
  const positions = new Map<number, ImagePosition>();
  const store = () => {
    const { sequence } = images;
    file.transaction(() => images.store(sequence, positions), sequence);
    positions.clear();
    failpoint("images.caught-up-in-part");
  };
  let noted = 0;
  for (let read = await reader.next(); read !== null; read = await reader.next()) {
    // Copies of a barrier have one sequence.
    if (read.event.sequence > images.sequence) {
      noteStored(images, read, shapeOf);
      noted++;
    }
    positions.set(read.record.partition, { sequence: read.event.sequence, offset: read.record.offset });
    if (noted >= EVENTS_A_STEP) {
      store();
      noted = 0;
    }
  }
  store();
}

/** What `Images` makes of an event that is numbered now, of one that the topic holds. */
export function noteStored(
  images: TableImages,
  { event, json, record }: Read,
  shapeOf: (id: number) => RowEncoder,
): void {
  const { operation, sequence } = event;
  if (operation === "gap") {
    images.gap(sequence);
    return;
  }
  if (operation === "sweep") {
    images.sweep(sequence, event.since);
    return;
  }
  if (operation === "message") {
    return;
  }
  const { schema } = shapeOf(event.schema);
  images.begin(schema, sequence, operation === "read" ? null : parseLsn(event.transaction.lsn));
  if (operation === "truncate") {
    images.truncated();
    return;
  }
  if (record.key === null) {
    return; // written while the table had no key
  }
  const key = record.key.toString("utf8");
  if (operation === "delete") {
    const goesOn = event.nextKey !== undefined && event.unchanged === undefined;
    images.remove(key, goesOn ? valuesOf(json, "before", schema) : null);
    return;
  }
  const row = valuesOf(json, "after", schema, operation === "read" ? [] : event.unchanged);
  if (row === null) {
    throw new AfterimageError(
      "ENVELOPE_INVALID",
      `The record at offset ${record.offset} of topic ${images.topic}, partition ${record.partition}, is not a row of schema ${schema.schema}.`,
      "Only afterimage may write to the stream's topics; find the other writer and rebuild the stream.",
    );
  }
  const before = operation === "insert" ? images.moved() : operation === "update" ? images.known(key) : null;
  images.put(key, filled(row, before));
}

function schemaMissing(topic: string, id: number): AfterimageError {
  return new AfterimageError(
    "SCHEMAS_MISSING",
    `Topic ${topic} holds events of schema ${id}, which the schemas topic does not hold.`,
    "Somebody deleted that record. Rebuild the stream: afterimage drop STREAM --topics, then start.",
  );
}

/** The records of all partitions by sequence, one reply of each in memory. */
class InOrder {
  readonly #connection: KafkaConnection;
  readonly #topic: string;
  readonly #spans: ReadonlyMap<number, Span>;
  readonly #at: Map<number, bigint>;
  readonly #heads: Map<number, Read[]>;

  constructor(connection: KafkaConnection, topic: string, spans: ReadonlyMap<number, Span>) {
    this.#connection = connection;
    this.#topic = topic;
    this.#spans = spans;
    this.#at = new Map([...spans].map(([partition, { from }]) => [partition, from]));
    this.#heads = new Map([...spans.keys()].map((partition) => [partition, []]));
  }

  async next(): Promise<Read | null> {
    await this.#fill();
    let first: Read[] | null = null;
    for (const reads of this.#heads.values()) {
      if (reads.length > 0 && (first === null || reads.at(-1)!.event.sequence < first.at(-1)!.event.sequence)) {
        first = reads;
      }
    }
    return first === null ? null : first.pop()!;
  }

  /** Every partition that has more shows its next record. */
  async #fill(): Promise<void> {
    for (;;) {
      const empty = [...this.#heads].filter(
        ([partition, reads]) => reads.length === 0 && this.#at.get(partition)! < this.#spans.get(partition)!.end,
      );
      if (empty.length === 0) {
        return;
      }
      const from = new Map(empty.map(([partition]) => [partition, this.#at.get(partition)!]));
      for (const [partition, { records, nextOffset }] of await fetchCommitted(this.#connection, this.#topic, from)) {
        const { end } = this.#spans.get(partition)!;
        this.#at.set(partition, nextOffset);
        const reads = records.filter(({ offset }) => offset < end).map(asRead);
        this.#heads.set(partition, reads.reverse());
      }
    }
  }
}

function asRead(record: CommittedRecord): Read {
  const json = record.value?.toString("utf8") ?? "null";
  return { record, json, event: parseStored(json) };
}
