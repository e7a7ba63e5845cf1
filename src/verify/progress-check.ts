// The progress records up to the target, and the commit vector of each against the events that it accounts for.
import { formatLsn } from "../event/lsn.ts";
import { type Progress, parseProgress } from "../event/progress.ts";
import { fetchCommitted } from "../kafka/committed-reader.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { fetchOffsets } from "../kafka/offsets.ts";
import type { Findings } from "./finding.ts";
import type { Target } from "./layout.ts";
import { placeKey, type StreamRecord } from "./partition-cursor.ts";

interface Stored {
  readonly progress: Progress;
  readonly offset: bigint;
}

/** Whether retention or compaction may have taken a record of this sequence from there. */
export type MayBeGone = (topic: string, partition: number, sequence: number) => boolean;

export class ProgressCheck {
  readonly #connection: KafkaConnection;
  readonly #topic: string;
  readonly #stream: string;
  readonly #findings: Findings;
  readonly #mayBeGone: MayBeGone;
  #position: bigint | null = null;
  #queue: Stored[] = [];
  #end = -1n;
  #previous: Stored | null = null;
  /** The record whose events are being read. */
  #current: Stored | null = null;
  /** `partition topic` to the last record that its batch has there. */
  readonly #touched = new Map<string, StreamRecord>();
  #lastEvent: StreamRecord | null = null;
  /** The last one of a source transaction: a snapshot's events stand between those. */
  #lastOfSource: StreamRecord | null = null;
  records = 0;
  /** The first sequence that a stored vector accounts for; null before one was read. */
  firstSequence: number | null = null;

  constructor(
    connection: KafkaConnection,
    { topic, stream }: { topic: string; stream: string },
    findings: Findings,
    mayBeGone: MayBeGone,
  ) {
    this.#connection = connection;
    this.#topic = topic;
    this.#stream = stream;
    this.#findings = findings;
    this.#mayBeGone = mayBeGone;
  }

  /** Records up to this one are read. */
  extend(target: Target): void {
    this.#end = target.offset;
  }

  /** The highest sequence that the current record accounts for. */
  get until(): number {
    return this.#current?.progress.sequence ?? -1;
  }

  /** The record that accounts for this sequence, which must be `until` or have been moved to. */
  covering(sequence: number): Progress | null {
    const current = this.#current?.progress;
    return current !== undefined && current.firstSequence <= sequence && sequence <= current.sequence ? current : null;
  }

  /** Goes on to the record that accounts for `sequence`, if there is one, and closes those before it. */
  async moveTo(sequence: number): Promise<void> {
    while (this.until < sequence && (await this.#next())) {
      // the records in between are checked on the way
    }
  }

  /** One event of `sequence`; a barrier has several records. */
  event(records: readonly StreamRecord[]): void {
    for (const record of records) {
      this.#touched.set(record.place, record);
    }
    this.#lastEvent = records[0]!;
    if (this.#lastEvent.event.transaction.index > 0) {
      this.#lastOfSource = this.#lastEvent;
    }
  }

  /** Reads the records that are left and closes the last one. */
  async finish(): Promise<void> {
    while (await this.#next()) {
      // each is checked on the way
    }
    this.#close();
    this.#current = null;
  }

  async #next(): Promise<boolean> {
    const next = await this.#read();
    if (next === null) {
      return false;
    }
    this.#close();
    this.#checkFollows(next);
    this.#previous = next;
    this.#current = next;
    this.records++;
    this.firstSequence ??= next.progress.firstSequence;
    return true;
  }

  async #read(): Promise<Stored | null> {
    while (this.#queue.length === 0) {
      this.#position ??= (await fetchOffsets(this.#connection, this.#topic, 0)).earliest;
      if (this.#position > this.#end) {
        return null;
      }
      const part = (await fetchCommitted(this.#connection, this.#topic, new Map([[0, this.#position]]))).get(0);
      for (const { offset, value } of part?.records ?? []) {
        if (offset <= this.#end) {
          this.#parse(offset, value);
        }
      }
      // What lies beyond the end is read again, should the end be moved.
      const next = part?.nextOffset ?? this.#position;
      this.#position = next > this.#end ? this.#end + 1n : next;
      this.#queue.reverse();
    }
    return this.#queue.pop()!;
  }

  #parse(offset: bigint, value: Buffer | null): void {
    try {
      const progress = parseProgress(value?.toString("utf8") ?? "");
      if (progress.stream !== this.#stream) {
        this.#add("PROGRESS_INVALID", `It is one of stream ${JSON.stringify(progress.stream)}.`, offset);
      } else {
        this.#queue.push({ progress, offset });
      }
    } catch (error) {
      this.#add("PROGRESS_INVALID", (error as Error).message, offset);
    }
  }

  #checkFollows({ progress, offset }: Stored): void {
    const { firstSequence, sequence, completeSequence, endLsn } = progress;
    const before = this.#previous?.progress;
    if (before !== undefined && firstSequence !== before.sequence + 1) {
      const what = `It begins at sequence ${firstSequence}, the record before it ends at ${before.sequence}.`;
      this.#add("PROGRESS_GAP", what, offset, firstSequence);
    }
    if (sequence < firstSequence - 1 || completeSequence > sequence) {
      const what = `It holds sequences ${firstSequence} to ${sequence}, complete up to ${completeSequence}.`;
      this.#add("PROGRESS_INVALID", what, offset, sequence);
    }
    if (before !== undefined && progress.epoch === before.epoch && endLsn < before.endLsn) {
      const what = `It is at ${formatLsn(endLsn)}, the record before it at ${formatLsn(before.endLsn)}.`;
      this.#add("PROGRESS_ORDER", what, offset, sequence);
    }
    if (before !== undefined && progress.epoch < before.epoch) {
      this.#add("PROGRESS_ORDER", `It is of epoch ${progress.epoch}, after ${before.epoch}.`, offset, sequence);
    }
  }

  /** All events of the current record were seen: holds its vector and its `last` against them. */
  #close(): void {
    const current = this.#current;
    if (current !== null && current.progress.sequence >= current.progress.firstSequence) {
      this.#checkVector(current);
      this.#checkLast(current);
    }
    this.#touched.clear();
    this.#lastEvent = null;
    this.#lastOfSource = null;
  }

  #checkVector({ progress, offset }: Stored): void {
    const named = new Set<string>();
    for (const [topic, partitions] of progress.partitions) {
      for (const [partition, position] of partitions) {
        const place = placeKey(partition, topic);
        named.add(place);
        const found = this.#touched.get(place);
        const fits = found?.offset === position.offset && found.event.sequence === position.sequence;
        if (!fits && !this.#mayBeGone(topic, partition, position.sequence)) {
          const instead =
            found === undefined
              ? "no event of the batch stands in that partition"
              : `the batch's last event there is sequence ${found.event.sequence} at offset ${found.offset}`;
          this.#findings.add(
            "VECTOR_UNMET",
            `The progress record at offset ${offset} names sequence ${position.sequence} at offset ${position.offset}, but ${instead}.`,
            { topic, partition, offset: position.offset, sequence: position.sequence },
          );
        }
      }
    }
    for (const [place, record] of this.#touched) {
      if (!named.has(place)) {
        this.#findings.add(
          "VECTOR_UNMET",
          `The progress record at offset ${offset} accounts for this event and does not name its partition.`,
          {
            topic: record.topic.name,
            partition: record.partition,
            offset: record.offset,
            sequence: record.event.sequence,
          },
        );
      }
    }
  }

  #checkLast({ progress, offset }: Stored): void {
    const { last, firstSequence, sequence, completeSequence, endLsn } = progress;
    const source = this.#lastOfSource?.event;
    if (last === null) {
      if (source !== undefined || completeSequence !== sequence) {
        this.#add("PROGRESS_LAST", "It accounts for events and names no last transaction.", offset, sequence);
      }
      return;
    }
    if (last.complete ? completeSequence !== sequence || endLsn <= last.commitLsn : completeSequence >= firstSequence) {
      const what = `Its last transaction is ${last.complete ? "" : "not "}complete, its events up to ${completeSequence} of ${sequence}, its end ${formatLsn(endLsn)}.`;
      this.#add("PROGRESS_LAST", what, offset, sequence);
    }
    if (source === undefined || this.#lastEvent?.event.sequence !== sequence) {
      return; // a snapshot's events alone; or a gap, which is reported as one
    }
    const { transaction } = source;
    const fits =
      transaction.lsn === formatLsn(last.commitLsn) &&
      transaction.id === last.xid &&
      transaction.index === last.index &&
      source.timestamp === last.timestamp &&
      (transaction.last === true) === last.complete;
    if (!fits) {
      const what = `Its last transaction is ${last.xid} at ${formatLsn(last.commitLsn)}, index ${last.index}; the event is of ${transaction.id} at ${transaction.lsn}, index ${transaction.index}.`;
      this.#add("PROGRESS_LAST", what, offset, sequence);
    }
  }

  #add(
    kind: "PROGRESS_INVALID" | "PROGRESS_GAP" | "PROGRESS_ORDER" | "PROGRESS_LAST",
    what: string,
    offset: bigint,
    sequence?: number,
  ): void {
    const place = { topic: this.#topic, partition: 0, offset };
    this.#findings.add(kind, what, sequence === undefined ? place : { ...place, sequence });
  }
}
