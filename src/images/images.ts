// The last row of every key of the tables that were asked for: makes `before` whole, and fills in values that Postgres
// did not send. The file holds what is durable in Kafka, `TableImages` what was numbered since.
import type { CapturedEvent } from "../capture/captured-event.ts";
import type { CommitVector, Progress } from "../event/progress.ts";
import type { RowEncoder } from "../event/row-encoder.ts";
import { failpoint } from "../failpoint.ts";
import { completeChange } from "./complete-change.ts";
import type { ImageFile } from "./image-file.ts";
import { parseStored, valuesOf } from "./stored-event.ts";
import type { TableImages } from "./table-images.ts";

/** An event of the daemon's own, ready to be written. */
export interface PlacedEvent {
  /** Null for what belongs to no table. */
  readonly encoder: RowEncoder | null;
  readonly key: string | null;
  readonly value: string;
}

export class Images {
  readonly #file: ImageFile;
  readonly #tables: ReadonlyMap<string, TableImages>;

  /** `tables` by name; they have caught up with the stream. */
  constructor(file: ImageFile, tables: ReadonlyMap<string, TableImages>) {
    this.#file = file;
    this.#tables = tables;
  }

  /** The event with what is known of the row before it. To be called for every event, in order. */
  complete(event: CapturedEvent): CapturedEvent {
    if (event.table === null) {
      return event;
    }
    const { encoder } = event.table;
    const images = this.#tables.get(encoder.schema.table);
    if (images === undefined) {
      return event;
    }
    images.begin(encoder.schema, event.sequence, event.transaction.commitLsn);
    if (event.change.operation === "truncate") {
      images.truncated();
      return event;
    }
    const change = completeChange(event.change, encoder, images);
    return change === event.change ? event : { ...event, change };
  }

  /** Events of the daemon's own, in order with the others. */
  placed(events: readonly PlacedEvent[]): void {
    for (const { encoder, key, value } of events) {
      const images = encoder === null ? undefined : this.#tables.get(encoder.schema.table);
      if (encoder !== null && images !== undefined) {
        noteOwn(images, encoder, key, value);
      }
    }
  }

  /** Everything up to this record is durable. Throws IMAGES_FAILED. */
  published({ sequence, partitions }: Pick<Progress, "sequence" | "partitions">): void {
    const due = [...this.#tables.values()].filter((images) => images.hasDurable(sequence));
    if (due.length === 0) {
      return;
    }
    failpoint("images.before-store");
    this.#file.transaction(() => {
      for (const images of due) {
        images.store(sequence, vectorOf(partitions, images.topic));
      }
    }, sequence);
    failpoint("images.stored");
  }

  /** What an operator should know; nothing of the tables that are being read. */
  notes(beingRead: readonly { readonly table: string }[]): string[] {
    return [...this.#tables.values()]
      .filter((images) => !images.whole && !beingRead.some(({ table }) => table === images.table))
      .map(
        ({ table }) =>
          `Not every row of ${table} has an image yet: one that the stream never told gets none before it is written. afterimage snapshot ${table} brings them all.`,
      );
  }
}

const vectorOf = (partitions: CommitVector, topic: string) => partitions.get(topic) ?? new Map();

function noteOwn(images: TableImages, { schema }: RowEncoder, key: string | null, json: string): void {
  const event = parseStored(json);
  switch (event.operation) {
    case "gap":
      images.gap(event.sequence);
      return;
    case "sweep":
      images.sweep(event.sequence, event.since);
      return;
    default:
      images.begin(schema, event.sequence, null);
      images.put(key!, valuesOf(json, "after", schema)!);
  }
}
