// One partition read in order: the records that are events, each later than the one before it.
import type { ChangeEvent } from "../event/change-event.ts";
import { parseEnvelope } from "../event/envelope.ts";
import type { CommittedRecord } from "../kafka/committed-reader.ts";
import type { Findings } from "./finding.ts";
import { type PartitionBounds, type StreamTopic, tableOf } from "./layout.ts";

export interface StreamRecord {
  readonly topic: StreamTopic;
  readonly partition: number;
  readonly offset: bigint;
  readonly key: string | null;
  readonly value: Buffer;
  readonly event: ChangeEvent;
  /** `partition topic` */
  readonly place: string;
}

export const placeKey = (partition: number, topic: string): string => `${partition} ${topic}`;

export class PartitionCursor {
  readonly topic: StreamTopic;
  readonly partition: number;
  /** The next event; null when more has to be read, or nothing is left. */
  head: StreamRecord | null = null;
  /** Where to read on. */
  position: bigint;
  end: bigint;
  /** The log no longer holds its beginning; what is missing lies below `firstSequence`. */
  trimmed: boolean;
  /** Of the first event that the log still holds; null while none was seen. */
  firstSequence: number | null = null;
  readonly #findings: Findings;
  readonly #place: string;
  #queue: readonly CommittedRecord[] = [];
  #at = 0;
  #lastSequence = 0;

  constructor({ topic, partition, earliest, end }: PartitionBounds, findings: Findings) {
    this.topic = topic;
    this.partition = partition;
    this.position = earliest;
    this.end = end;
    this.trimmed = earliest > 0n;
    this.#findings = findings;
    this.#place = placeKey(partition, topic.name);
  }

  get waiting(): number {
    return this.#queue.length - this.#at;
  }

  /** No event is at hand, and none will come. */
  get exhausted(): boolean {
    return this.head === null && this.waiting === 0 && this.position >= this.end;
  }

  /** Takes what was read from `position` on. */
  feed(records: readonly CommittedRecord[], nextOffset: bigint): void {
    this.#queue = this.waiting === 0 ? records : [...this.#queue.slice(this.#at), ...records];
    this.#at = 0;
    this.position = nextOffset;
    if (this.head === null) {
      this.advance();
    }
  }

  /** Retention took what was to be read next. */
  trimTo(earliest: bigint): void {
    this.trimmed = true;
    this.firstSequence = null;
    this.position = earliest;
  }

  /** Passes the head. */
  advance(): void {
    this.head = null;
    while (this.head === null && this.#at < this.#queue.length) {
      this.head = this.#read(this.#queue[this.#at++]!);
    }
  }

  /** Null for what is no event or stands in the wrong order: it is reported and takes no part in anything else. */
  #read({ offset, key, value }: CommittedRecord): StreamRecord | null {
    const { topic, partition } = this;
    const place = { ...tableOf(topic), topic: topic.name, partition, offset };
    if (value === null) {
      this.#findings.add("EVENT_INVALID", "A record has no value.", place);
      return null;
    }
    let event: ChangeEvent;
    try {
      event = parseEnvelope(value.toString("utf8"));
    } catch (error) {
      this.#findings.add("EVENT_INVALID", (error as Error).message, place);
      return null;
    }
    const { sequence } = event;
    if (sequence <= this.#lastSequence) {
      const what =
        sequence === this.#lastSequence
          ? `Sequence ${sequence} stands twice in this partition.`
          : `Sequence ${sequence} stands after ${this.#lastSequence}.`;
      this.#findings.add(sequence === this.#lastSequence ? "SEQUENCE_DOUBLE" : "SEQUENCE_ORDER", what, {
        ...place,
        sequence,
      });
      return null;
    }
    this.#lastSequence = sequence;
    this.firstSequence ??= sequence;
    return {
      topic,
      partition,
      offset,
      key: key === null ? null : key.toString("utf8"),
      value,
      event,
      place: this.#place,
    };
  }
}
