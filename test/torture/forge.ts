// Evidence taken apart into events and put together again, so that a mutant can be well formed in everything but its
// one lie: numbers, offsets, commit vectors, progress and what the follower saw all fit.
import type { Evidence, ReadRecord } from "./evidence.ts";

/** One event; a barrier's copies are one. */
export interface ForgedEvent {
  readonly topic: string;
  readonly partitions: readonly number[];
  readonly key: string | null;
  readonly value: string;
  readonly producerId: string;
  readonly producerEpoch: number;
  /** Index of the progress record that accounts for it. */
  readonly batch: number;
}

const SOURCE =
  /,"sequence":(\d+),"transaction":\{"id":"(\d+)","epoch":1,"lsn":"([0-9A-F/]+)","index":(\d+)(,"last":true)?\}/;

export interface Source {
  readonly sequence: number;
  readonly xid: string;
  readonly lsn: string;
  readonly index: number;
  readonly last: boolean;
}

export function sourceOf(value: string): Source {
  const [, sequence, xid, lsn, index, last] = SOURCE.exec(value)!;
  return { sequence: Number(sequence), xid: xid!, lsn: lsn!, index: Number(index), last: last !== undefined };
}

/** The event with another source transaction, place in it, or number. */
export function withSource(value: string, change: Partial<Source>): string {
  const { sequence, xid, lsn, index, last } = { ...sourceOf(value), ...change };
  const end = last ? ',"last":true' : "";
  const source = `,"sequence":${sequence},"transaction":{"id":"${xid}","epoch":1,"lsn":"${lsn}","index":${index}${end}}`;
  return value.replace(SOURCE, () => source);
}

export const operationOf = (value: string): string => /,"operation":"(\w+)","key":/.exec(value)![1]!;

export const tableOf = (value: string): string => JSON.parse(/^\{"v":1,"table":("(?:[^"\\]|\\.)*")/.exec(value)![1]!);

/** Source transactions, each with its events in order. */
export function runsOf<T extends { readonly value: string }>(events: readonly T[]): T[][] {
  const runs: T[][] = [];
  for (const event of events) {
    const run = runs.at(-1);
    if (run !== undefined && sourceOf(run[0]!.value).xid === sourceOf(event.value).xid) run.push(event);
    else runs.push([event]);
  }
  return runs;
}

interface ProgressJson {
  firstSequence: number;
  sequence: number;
  completeSequence: number;
  endLsn: string;
  last: {
    commitLsn: string;
    xid: string;
    timestamp: string;
    index: number;
    message?: number;
    complete: boolean;
  } | null;
  partitions: Record<string, Record<string, { sequence: number; offset: number }>>;
}

const progressOf = ({ value }: ReadRecord): ProgressJson => JSON.parse(value!);

/** The events by sequence. */
export function takeApart({ records, progress }: Evidence): ForgedEvent[] {
  const ends = progress.map((record) => progressOf(record).sequence);
  const bySequence = new Map<number, ForgedEvent & { partitions: number[] }>();
  for (const { topic, partition, key, value, producerId, producerEpoch } of records) {
    const { sequence } = sourceOf(value!);
    const known = bySequence.get(sequence);
    if (known !== undefined) known.partitions.push(partition);
    else {
      const batch = ends.findIndex((end) => end >= sequence);
      bySequence.set(sequence, {
        topic,
        partitions: [partition],
        key,
        value: value!,
        producerId,
        producerEpoch,
        batch,
      });
    }
  }
  return [...bySequence].sort(([a], [b]) => a - b).map(([, event]) => event);
}

/** Numbers the events anew in the order given, and makes everything else fit them. */
export function putTogether(evidence: Evidence, order: readonly ForgedEvent[]): Evidence {
  let batch = 0;
  // A batch holds what stands between its neighbours, also when events changed their places.
  const events = withLast(order).map((event) => {
    batch = Math.max(batch, event.batch);
    return { ...event, batch };
  });
  const writer = new Writer(evidence);
  const byBatch = Map.groupBy(events, (event) => event.batch);
  const progress = evidence.progress.map((record, at) => writer.publish(record, byBatch.get(at) ?? []));
  const sequences = new Map(
    evidence.progress.map((record, at) => [keyOf(progressOf(record)), progressOf(progress[at]!).sequence]),
  );
  return {
    ...evidence,
    records: writer.records,
    progress,
    followed: [...writer.records, ...progress],
    positions: evidence.positions.map((sample) => {
      const sequence = sample.stored && sequences.get(`${formatLsn(sample.stored.endLsn)} ${sample.stored.sequence}`);
      return sample.stored === null || sequence == null
        ? sample
        : { ...sample, stored: { ...sample.stored, sequence } };
    }),
  };
}

const keyOf = ({ endLsn, sequence }: ProgressJson): string => `${endLsn} ${sequence}`;

/** `last` on the last event of each transaction and nowhere else. */
function withLast(events: readonly ForgedEvent[]): ForgedEvent[] {
  return runsOf(events).flatMap((run) =>
    run.map((event, at) => ({ ...event, value: withSource(event.value, { last: at === run.length - 1 }) })),
  );
}

class Writer {
  readonly records: ReadRecord[] = [];
  readonly #offsets = new Map<string, bigint>();
  #sequence = 0;
  #complete = 0;
  #last: ProgressJson["last"] = null;

  constructor({ records }: Evidence) {
    // Offsets begin where they began.
    for (const { topic, partition, offset } of records) {
      const name = `${topic}/${partition}`;
      const first = this.#offsets.get(name);
      if (first === undefined || offset < first) this.#offsets.set(name, offset);
    }
  }

  publish(record: ReadRecord, events: readonly ForgedEvent[]): ReadRecord {
    const firstSequence = this.#sequence + 1;
    const partitions: ProgressJson["partitions"] = {};
    for (const event of events) {
      const { topic, key, producerId, producerEpoch } = event;
      const sequence = ++this.#sequence;
      const value = withSource(event.value, { sequence });
      const { xid, lsn, index, last } = sourceOf(value);
      const timestamp = /,"timestamp":"([^"]+)","sequence":/.exec(value)![1]!;
      this.#last = { commitLsn: lsn, xid, timestamp, index, ...(!last && { message: index }), complete: last };
      if (last) this.#complete = sequence;
      for (const partition of event.partitions) {
        const name = `${topic}/${partition}`;
        const offset = this.#offsets.get(name) ?? 0n;
        this.#offsets.set(name, offset + 1n);
        this.records.push({ topic, partition, offset, key, value, producerId, producerEpoch });
        partitions[topic] ??= {};
        partitions[topic][partition] = { sequence, offset: Number(offset) };
      }
    }
    for (const [topic, own] of Object.entries(partitions)) {
      for (const partition of Object.keys(own)) {
        const name = `${topic}/${partition}`;
        this.#offsets.set(name, this.#offsets.get(name)! + 1n); // the marker
      }
    }
    const { v, stream, epoch, ...rest } = JSON.parse(record.value!);
    const own = { firstSequence, sequence: this.#sequence, completeSequence: this.#complete };
    const { firstSequence: _, sequence: __, completeSequence: ___, endLsn, ...others } = rest;
    const value = JSON.stringify({ v, stream, epoch, ...own, endLsn, ...others, last: this.#last, partitions });
    return { ...record, value };
  }
}

export function parseLsn(text: string): bigint {
  const [high, low] = text.split("/");
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}

export function formatLsn(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffff_ffffn).toString(16).toUpperCase()}`;
}
