// The proof from Kafka alone: every sequence once, in order, in the right place, and every progress record true.
// Pulls the events of the stream in order of their sequence and hands them on, checked, to whoever folds them.
import { isBarrier } from "../event/change-event.ts";
import { progressTopic } from "../event/identifier.ts";
import type { TableSchema } from "../event/schema.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { EventCheck, placeOf } from "./event-check.ts";
import type { Findings } from "./finding.ts";
import { type PartitionBounds, readTarget, type Target, tableOf } from "./layout.ts";
import { HUNGRY, MergedReader, type MergedReaderOptions } from "./merged-reader.ts";
import type { PartitionCursor, StreamRecord } from "./partition-cursor.ts";
import { ProgressCheck } from "./progress-check.ts";
import type { Shape } from "./shape.ts";
import { TransactionCheck } from "./transaction-check.ts";

export interface StreamCheckOptions extends MergedReaderOptions {
  readonly onProgress?: (sequence: number, target: number) => void;
}

/** How long a progress record may take to show that was committed together with events which are seen already. */
const MARKER_PATIENCE_MS = 10_000;
const LOOK_EVERY_MS = 100;
const TELL_EVERY_EVENTS = 2_000;

export class StreamCheck {
  readonly #connection: KafkaConnection;
  readonly #stream: string;
  readonly #findings: Findings;
  readonly #options: StreamCheckOptions;
  readonly #reader: MergedReader;
  readonly #events: EventCheck;
  readonly #transactions: TransactionCheck;
  readonly #progress: ProgressCheck;
  readonly #cursors = new Map<string, PartitionCursor>();
  #target: Target | null = null;
  #expected = 1;
  /** Whole from here on: what is missing before may have been there once. */
  provenFrom = 1;
  #seen = 0;
  #barriers = 0;

  constructor(connection: KafkaConnection, stream: string, findings: Findings, options: StreamCheckOptions) {
    this.#connection = connection;
    this.#stream = stream;
    this.#findings = findings;
    this.#options = options;
    this.#reader = new MergedReader(connection, findings, options);
    this.#events = new EventCheck(findings);
    this.#transactions = new TransactionCheck(findings);
    const place = { topic: progressTopic(stream), stream };
    this.#progress = new ProgressCheck(connection, place, findings, (topic, partition, sequence) =>
      mayBeGone(this.#cursors.get(`${partition} ${topic}`), sequence),
    );
  }

  get counts() {
    return {
      events: this.#seen,
      barriers: this.#barriers,
      transactions: this.#transactions.transactions,
      progressRecords: this.#progress.records,
      partitions: this.#cursors.size,
      vectorsFrom: this.#progress.firstSequence,
    };
  }

  shape(id: number): Shape | undefined {
    return this.#events.shape(id);
  }

  /** Goes up to this target from now on; `bounds` and `schemas` were read after it. */
  extend(target: Target, bounds: readonly PartitionBounds[], schemas: Iterable<TableSchema>): void {
    this.#target = target;
    this.#progress.extend(target);
    this.#events.learn(schemas);
    this.#reader.extend(bounds);
    for (const cursor of this.#reader.cursors) {
      this.#cursors.set(`${cursor.partition} ${cursor.topic.name}`, cursor);
    }
  }

  /** Checks on until the target is reached, or until `take` doesn't want the next event, which then stays the next. */
  async run(
    take: (record: StreamRecord) => void,
    wants: (record: StreamRecord) => boolean = () => true,
  ): Promise<void> {
    const limit = this.#target!.progress.sequence;
    for (let untilTold = 0; ; untilTold--) {
      const next = this.#reader.peek();
      if (next !== null && next.event.sequence <= limit && !wants(next)) {
        return;
      }
      const group = this.#reader.take(limit);
      if (group === HUNGRY) {
        await this.#reader.feed();
        continue;
      }
      if (group === null) {
        return;
      }
      const record = group[0]!;
      const { sequence } = record.event;
      if (sequence > this.#expected) {
        await this.#gap(this.#expected, sequence - 1);
      }
      this.#expected = sequence + 1;
      if (this.#progress.until < sequence) {
        await this.#progress.moveTo(sequence);
      }
      this.#checkGroup(group);
      this.#seen++;
      take(record);
      if (untilTold <= 0) {
        this.#options.onProgress?.(sequence, limit);
        untilTold = TELL_EVERY_EVENTS;
      }
    }
  }

  /** After `run` has reached the target: what is left to check at the end. */
  async finish(): Promise<void> {
    const { progress } = this.#target!;
    if (this.#expected <= progress.sequence) {
      await this.#gap(this.#expected, progress.sequence);
      this.#expected = progress.sequence + 1;
    }
    await this.#progress.finish();
    this.#transactions.finish(progress.last?.complete ?? true);
    await this.#checkBeyond();
    this.#tellTrimmed();
    const { firstSequence } = this.#progress;
    if (firstSequence !== null && firstSequence > 1) {
      const what = `Progress records are kept from sequence ${firstSequence} on: commit vectors before it can't be checked.`;
      this.#findings.add("VECTORS_EXPIRED", what, { sequence: firstSequence });
    }
  }

  #checkGroup(group: readonly StreamRecord[]): void {
    const record = group[0]!;
    const { event } = record;
    this.#transactions.check(record);
    for (const each of group) {
      this.#events.check(each);
    }
    if (isBarrier(event)) {
      this.#barriers++;
      this.#checkCopies(group, event.copies);
    } else if (group.length > 1) {
      this.#double(group.slice(1), record);
    }
    if (this.#progress.covering(event.sequence) !== null) {
      this.#progress.event(group);
    }
  }

  #checkCopies(group: readonly StreamRecord[], copies: number): void {
    const first = group[0]!;
    const own = group.filter(({ topic }) => topic.name === first.topic.name);
    if (own.length < group.length) {
      this.#double(
        group.filter(({ topic }) => topic.name !== first.topic.name),
        first,
      );
    }
    const { name, partitions } = first.topic;
    const { sequence } = first.event;
    const held = new Set(own.map(({ partition }) => partition));
    for (let partition = 0; partition < partitions; partition++) {
      if (!held.has(partition) && !mayBeGone(this.#cursors.get(`${partition} ${name}`), sequence)) {
        const place = { ...tableOf(first.topic), topic: name, partition, sequence };
        this.#findings.add("BARRIER_TORN", `The partition lacks its copy of the ${first.event.operation}.`, place);
      }
    }
    if (copies !== partitions) {
      const what = `It says that it has ${copies} copies, in a topic of ${partitions} partitions.`;
      this.#findings.add("BARRIER_TORN", what, placeOf(first));
    }
    for (const other of own.slice(1)) {
      if (!other.value.equals(first.value)) {
        const what = `This copy is not the same as the one in partition ${first.partition}.`;
        this.#findings.add("BARRIER_TORN", what, placeOf(other));
      }
    }
  }

  #double(others: readonly StreamRecord[], first: StreamRecord): void {
    for (const other of others) {
      const what = `Sequence ${first.event.sequence} also stands in ${first.topic.name} partition ${first.partition} at offset ${first.offset}.`;
      this.#findings.add("SEQUENCE_DOUBLE", what, placeOf(other));
    }
  }

  /** A gap is trimmed history where a trimmed partition may have held it, as far as its batch's vector is known. */
  async #gap(from: number, to: number): Promise<void> {
    this.#transactions.forget();
    let wrongFrom: number | null = null;
    let places = "";
    const tell = (end: number) => {
      if (wrongFrom !== null) {
        const what =
          wrongFrom === end
            ? `Sequence ${end} is in no topic.${places}`
            : `Sequences ${wrongFrom} to ${end} (${end - wrongFrom + 1}) are in no topic.${places}`;
        this.#findings.add("SEQUENCE_GAP", what, { sequence: wrongFrom });
      }
      wrongFrom = null;
    };
    for (let sequence = from; sequence <= to; ) {
      await this.#progress.moveTo(sequence);
      const batch = this.#progress.covering(sequence);
      const end = batch === null ? this.#uncoveredEnd(to) : Math.min(to, batch.sequence);
      const held = [...(batch?.partitions ?? [])].flatMap(([topic, positions]) =>
        [...positions.keys()].map((partition) => ({ topic, partition })),
      );
      const suspects =
        batch === null
          ? [...this.#cursors.values()]
          : held.map(({ topic, partition }) => this.#cursors.get(`${partition} ${topic}`));
      if (suspects.some((cursor) => mayBeGone(cursor, end))) {
        tell(sequence - 1);
        this.provenFrom = end + 1;
      } else {
        wrongFrom ??= sequence;
        const topics = [...new Set(held.map(({ topic }) => topic))].slice(0, 3);
        places = topics.length === 0 ? "" : ` Their batch wrote to ${topics.join(", ")}.`;
      }
      sequence = end + 1;
    }
    tell(to);
  }

  /** The last sequence of a gap that no stored vector accounts for. */
  #uncoveredEnd(to: number): number {
    const known = this.#progress.firstSequence;
    return known !== null && known > this.#expected && known <= to ? known - 1 : to;
  }

  /** Committed events above the target came with a progress record of their own: it must be there. */
  async #checkBeyond(): Promise<void> {
    let beyond: StreamRecord | null = null;
    for (;;) {
      const group = this.#reader.take(Number.POSITIVE_INFINITY);
      if (group === HUNGRY) {
        await this.#reader.feed();
      } else if (group === null) {
        break;
      } else {
        beyond = group[0]!;
      }
    }
    const deadline = performance.now() + MARKER_PATIENCE_MS;
    while (beyond !== null) {
      const { progress } = await readTarget(this.#connection, this.#stream);
      if (progress.sequence >= beyond.event.sequence) {
        return;
      }
      if (performance.now() > deadline) {
        const what = `It is committed, but the last progress record ends at ${progress.sequence}.`;
        this.#findings.add("PROGRESS_BEYOND", what, placeOf(beyond));
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }

  #tellTrimmed(): void {
    if (this.provenFrom > 1) {
      const gone = [...this.#cursors.values()].filter(({ trimmed, topic }) => trimmed || topic.compacted);
      const topics = [...new Set(gone.map(({ topic }) => topic.name))];
      const what = `Sequences are proved from ${this.provenFrom} on: ${topics.slice(0, 5).join(", ")}${topics.length > 5 ? " and others" : ""} no longer hold what came before.`;
      this.#findings.add("HISTORY_TRIMMED", what, { sequence: this.provenFrom });
    }
  }
}

function mayBeGone(cursor: PartitionCursor | undefined, sequence: number): boolean {
  if (cursor === undefined) {
    return false;
  }
  const { topic, trimmed, firstSequence } = cursor;
  return topic.compacted || (trimmed && (firstSequence === null || sequence < firstSequence));
}
