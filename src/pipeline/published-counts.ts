// Counts what was published, a batch at a time; whoever shows it (status, metrics) reads it when it is asked.
import type { EncodedEvent } from "../sink/encode-event.ts";

/** What is counted of a batch. */
export interface CountedBatch {
  readonly events: readonly Pick<EncodedEvent, "topic">[];
  readonly bytes: number;
}

export class PublishedCounts {
  /** A barrier's copies are one event. */
  events = 0;
  /** Encoded, with some overhead for each record; as `batch.maxBytes` counts them. */
  bytes = 0;
  /** Kafka transactions, those that only move the position too. */
  transactions = 0;
  /** Seconds that Kafka took for them, one after the other. */
  seconds = 0;
  readonly byTopic = new Map<string, number>();

  add({ events, bytes }: CountedBatch, milliseconds: number): void {
    this.events += events.length;
    this.bytes += bytes;
    this.transactions++;
    this.seconds += milliseconds / 1000;
    // Runs of one topic, whose name is the same string in all of them: comparing those costs next to nothing.
    let topic = events[0]?.topic;
    let begin = 0;
    for (let at = 1; at < events.length; at++) {
      const next = events[at]!.topic;
      if (next !== topic) {
        this.#addRun(topic!, at - begin);
        topic = next;
        begin = at;
      }
    }
    if (topic !== undefined) {
      this.#addRun(topic, events.length - begin);
    }
  }

  /** What another one counted, as well. */
  merge(other: PublishedCounts): void {
    this.events += other.events;
    this.bytes += other.bytes;
    this.transactions += other.transactions;
    this.seconds += other.seconds;
    for (const [topic, count] of other.byTopic) {
      this.#addRun(topic, count);
    }
  }

  #addRun(topic: string, count: number): void {
    this.byTopic.set(topic, (this.byTopic.get(topic) ?? 0) + count);
  }
}
