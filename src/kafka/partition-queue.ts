// The records that one produce call still has to append to one partition, cut into record batches.
import { Deadline } from "./deadline.ts";
import type { ProduceBatch } from "./protocol/produce.ts";
import type { ProducerIdentity, TopicPartition } from "./protocol/transaction.ts";
import { type BatchExtent, MeasuredRecords, type ProducerRecord } from "./record-batch.ts";

/** Sequence numbers wrap to 0 after 2^31 - 1 (org.apache.kafka.common.record.DefaultRecordBatch.incrementSequence). */
export function sequenceAfter(sequence: number, count: number): number {
  return (sequence + count) % 0x8000_0000;
}

export class PartitionQueue implements TopicPartition {
  readonly topic: string;
  readonly partition: number;
  readonly #given: readonly ProducerRecord[];
  readonly #records: MeasuredRecords;
  readonly #patienceMs: number;
  #next = 0;
  #sequence: number;
  #underWay: BatchExtent | null = null;
  #baseOffset = -1n;
  #lastOffset = -1n;
  /** Runs anew from every batch that was accepted. */
  deadline: Deadline;

  constructor(place: TopicPartition, records: readonly ProducerRecord[], sequence: number, patienceMs: number) {
    this.topic = place.topic;
    this.partition = place.partition;
    this.#given = records;
    this.#records = new MeasuredRecords(records);
    this.#sequence = sequence;
    this.#patienceMs = patienceMs;
    this.deadline = new Deadline(patienceMs);
  }

  get done(): boolean {
    return this.#next === this.#records.length;
  }

  /** The sequence number of the partition's next record, in this call or a later one. */
  get sequence(): number {
    return this.#sequence;
  }

  get offsets(): { baseOffset: bigint; lastOffset: bigint } {
    return { baseOffset: this.#baseOffset, lastOffset: this.#lastOffset };
  }

  /** The first one that is not accepted yet. */
  get nextRecord(): ProducerRecord | undefined {
    return this.#given[this.#next];
  }

  /** The records of the batch under way. */
  get batchLength(): number {
    return this.#underWay === null ? 0 : this.#underWay.to - this.#next;
  }

  get batchBytes(): number {
    return this.#underWay?.bytes ?? 0;
  }

  /**
   * The next batch, of at most `limit` bytes unless a single record is larger. The same one again until it is
   * accepted or refused: the broker knows a repeated batch by its first and last sequence number.
   */
  batch(limit: number, identity: ProducerIdentity): ProduceBatch {
    const from = this.#next;
    const extent = this.#underWay ?? this.#records.fit(from, limit);
    this.#underWay = extent;
    return {
      topic: this.topic,
      partition: this.partition,
      bytes: extent.bytes,
      write: (buffer, at) => {
        const owner = { ...identity, baseSequence: this.#sequence };
        this.#records.encode(buffer, at, from, extent.to, owner, Date.now());
      },
    };
  }

  accepted(baseOffset: bigint): void {
    const count = this.batchLength;
    if (this.#baseOffset < 0n) {
      this.#baseOffset = baseOffset;
    }
    this.#lastOffset = baseOffset + BigInt(count - 1);
    this.#sequence = sequenceAfter(this.#sequence, count);
    this.#next += count;
    this.#underWay = null;
    this.deadline = new Deadline(this.#patienceMs);
  }

  /** Nothing of the batch was appended, so it may be cut differently. */
  recut(): void {
    this.#underWay = null;
  }
}
