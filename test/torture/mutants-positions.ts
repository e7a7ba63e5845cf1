// Mutants of progress, of what Postgres is told, of who writes, and of what offsets hold.
import type { Evidence, PositionSample, ReadRecord } from "./evidence.ts";
import { sourceOf } from "./forge.ts";
import type { Mutant } from "./mutants.ts";
import { changeRecord, isAt, middle, middleIndex, replaced } from "./mutants-tools.ts";

interface Progress {
  firstSequence: number;
  sequence: number;
  completeSequence: number;
  endLsn: string;
  last: { commitLsn: string; index: number; message?: number; complete: boolean } | null;
  partitions: Record<string, Record<string, { sequence: number; offset: number }>>;
}

const parse = ({ value }: ReadRecord): Progress => JSON.parse(value!);

const hasEvents = (record: ReadRecord): boolean =>
  parse(record).sequence >= parse(record).firstSequence && !isFirst(record);
const isFirst = (record: ReadRecord): boolean => parse(record).sequence === 0;
const isInPart = (record: ReadRecord): boolean => hasEvents(record) && !parse(record).last!.complete;
const isWhole = (record: ReadRecord): boolean => hasEvents(record) && parse(record).last!.complete;

/** The progress record in the middle, changed wherever it was read. */
function changeProgress(
  evidence: Evidence,
  fits: (record: ReadRecord) => boolean,
  change: (progress: Progress) => void,
): Evidence {
  const victim = middle(evidence.progress, fits, "progress record that fits");
  return rewrite(evidence, victim, change);
}

function rewrite(evidence: Evidence, victim: ReadRecord, change: (progress: Progress) => void): Evidence {
  const progress = parse(victim);
  change(progress);
  const changed = (record: ReadRecord) =>
    isAt(record, victim) ? { ...record, value: JSON.stringify(progress) } : record;
  return { ...evidence, progress: evidence.progress.map(changed), followed: evidence.followed.map(changed) };
}

function without(evidence: Evidence, victim: ReadRecord): Evidence {
  const isOther = (record: ReadRecord) => !isAt(record, victim);
  return { ...evidence, progress: evidence.progress.filter(isOther), followed: evidence.followed.filter(isOther) };
}

const firstEntry = ({ partitions }: Progress) => Object.values(Object.values(partitions)[0]!)[0]!;

function changeSample(
  evidence: Evidence,
  change: (stored: NonNullable<PositionSample["stored"]>, sample: PositionSample) => PositionSample,
): Evidence {
  const { positions } = evidence;
  const isInside = ({ stored }: PositionSample, at: number) =>
    stored !== null && at > 0 && positions[at - 1]!.stored !== null;
  const at = middleIndex(positions, isInside, "sample after another");
  return { ...evidence, positions: replaced(positions, at, change(positions[at]!.stored!, positions[at]!)) };
}

/** All records of the batch before the newest producer's first, or the last one, get another producer. */
function changeProducer(evidence: Evidence, victim: ReadRecord, change: Partial<ReadRecord>): Evidence {
  const changed = (record: ReadRecord) => (isAt(record, victim) ? { ...record, ...change } : record);
  const mutated = changeRecord(evidence, victim, changed);
  return { ...mutated, progress: mutated.progress.map(changed) };
}

const isOfOneProducer = (one: ReadRecord, other: ReadRecord): boolean =>
  one.producerId === other.producerId && one.producerEpoch === other.producerEpoch;

export const POSITION_MUTANTS: readonly Mutant[] = [
  {
    name: "Postgres is told more than is stored",
    finds: [[7, "other", "Postgres was told more than is stored"]],
    mutate: (evidence) => changeSample(evidence, (stored, sample) => ({ ...sample, confirmed: stored.endLsn + 1n })),
  },
  {
    name: "the stored position falls back",
    finds: [[7, "other", "the stored position falls back"]],
    mutate: (evidence) =>
      changeSample(evidence, (stored, sample) => ({
        ...sample,
        stored: { ...stored, sequence: 0, endLsn: 1n },
        confirmed: 0n,
      })),
  },
  {
    name: "a stored position is nowhere in the progress topic",
    finds: [[7, "other", "a stored position is not in the progress topic"]],
    mutate: (evidence) =>
      changeSample(evidence, (stored, sample) => ({ ...sample, stored: { ...stored, endLsn: stored.endLsn + 1n } })),
  },
  {
    name: "a progress record is missing",
    finds: [[7, "other", "progress does not begin where the record before it ends"]],
    mutate: (evidence) => without(evidence, middle(evidence.progress, hasEvents, "progress record with events")),
  },
  {
    name: "the first progress records are missing",
    finds: [[7, "other", "the first progress record is not before all events"]],
    // Beside the first there are those that stand with the tables' schema records.
    mutate: (evidence) => evidence.progress.filter(isFirst).reduce(without, evidence),
  },
  {
    name: "the last progress record is missing",
    finds: [[7, "other", "events stand behind the last progress record"]],
    mutate(evidence) {
      const at = evidence.progress.findLastIndex(hasEvents);
      return evidence.progress.slice(at).reduce(without, evidence);
    },
  },
  {
    name: "endLsn is beyond what is published",
    finds: [[7, "other", "endLsn is beyond an event that follows"]],
    mutate(evidence) {
      const last = evidence.progress.findLastIndex(hasEvents);
      const isInside = (record: ReadRecord, at: number) => at < last && isWhole(record);
      const at = middleIndex(evidence.progress, isInside, "progress record before another");
      const end = parse(evidence.progress.at(-1)!).endLsn;
      return rewrite(evidence, evidence.progress[at]!, (progress) => {
        progress.endLsn = end;
      });
    },
  },
  {
    name: "endLsn stands before what is complete",
    finds: [[7, "other", "endLsn is not beyond the last whole transaction"]],
    mutate: (evidence) =>
      changeProgress(evidence, isWhole, (progress) => {
        progress.endLsn = progress.last!.commitLsn;
      }),
  },
  {
    name: "last names another event",
    finds: [[7, "other", "last is not the transaction of the last event"]],
    mutate: (evidence) =>
      changeProgress(evidence, isWhole, (progress) => {
        progress.last!.index++;
      }),
  },
  {
    name: "last does not say how far a transaction is published",
    finds: [[7, "other", "last does not say how far its transaction is published"]],
    mutate: (evidence) =>
      changeProgress(evidence, isInPart, (progress) => {
        delete progress.last!.message;
      }),
  },
  {
    name: "last has a transaction published beyond its event",
    finds: [[7, "other", "last does not say how far its transaction is published"]],
    mutate: (evidence) =>
      changeProgress(evidence, isInPart, (progress) => {
        progress.last!.message = progress.last!.index + 1;
      }),
  },
  {
    name: "progress calls half a transaction complete",
    finds: [[6, "other", "progress calls a transaction complete in its middle"]],
    mutate(evidence) {
      const inner = new Set(
        evidence.records.flatMap(({ value }) => (sourceOf(value!).last ? [] : [sourceOf(value!).sequence])),
      );
      const fits = (record: ReadRecord) => isWhole(record) && inner.has(parse(record).completeSequence - 1);
      return changeProgress(evidence, fits, (progress) => {
        progress.completeSequence--;
      });
    },
  },
  {
    name: "a commit vector is off by one",
    finds: [[6, "other", "a commit vector names what is not there"]],
    mutate: (evidence) =>
      changeProgress(evidence, hasEvents, (progress) => {
        firstEntry(progress).offset++;
      }),
  },
  {
    name: "a commit vector names another sequence",
    finds: [[6, "other", "a commit vector names what is not there"]],
    mutate: (evidence) =>
      changeProgress(evidence, hasEvents, (progress) => {
        firstEntry(progress).sequence--;
      }),
  },
  {
    name: "a commit vector leaves out a topic",
    finds: [[6, "other", "a commit vector leaves out an event"]],
    mutate: (evidence) =>
      changeProgress(evidence, hasEvents, (progress) => {
        delete progress.partitions[Object.keys(progress.partitions)[0]!];
      }),
  },
  {
    name: "an older epoch writes after a newer one",
    finds: [[8, "other", "an older producer writes after a newer one"]],
    mutate(evidence) {
      const { progress } = evidence;
      const follows = (record: ReadRecord, at: number) => at > 0 && isOfOneProducer(progress[at - 1]!, record);
      const victim = progress[progress.findLastIndex(follows)]!;
      return changeProducer(evidence, victim, { producerEpoch: victim.producerEpoch - 1 });
    },
  },
  {
    name: "a producer writes again after another has written",
    finds: [[8, "other", "an older producer writes after a newer one"]],
    mutate(evidence) {
      const { progress } = evidence;
      const isBetween = (_: ReadRecord, at: number) =>
        at > 0 && at + 1 < progress.length && isOfOneProducer(progress[at - 1]!, progress[at + 1]!);
      const victim = middle(progress, isBetween, "progress record between two of one producer");
      return changeProducer(evidence, victim, { producerId: "987654321" });
    },
  },
  {
    name: "events and progress come from two producers",
    finds: [[8, "other", "an event and its progress record have different producers"]],
    mutate(evidence) {
      const victim = evidence.progress.findLast(hasEvents)!;
      return changeProducer(evidence, victim, { producerEpoch: victim.producerEpoch + 1 });
    },
  },
  {
    name: "a record was written without a transaction",
    finds: [[8, "other", "a record was written without a transaction"]],
    mutate: (evidence) => changeProducer(evidence, evidence.progress.at(-1)!, { producerId: "-1", producerEpoch: -1 }),
  },
  {
    name: "an offset gives two readers two values",
    finds: [[9, "other", "an offset has two values"]],
    mutate(evidence) {
      const at = evidence.followed.length >> 1;
      const record = evidence.followed[at]!;
      return { ...evidence, followed: replaced(evidence.followed, at, { ...record, value: `${record.value} ` }) };
    },
  },
  {
    name: "what a reader saw is gone",
    finds: [[9, "other", "what a reader saw is gone"]],
    mutate: (evidence) => ({ ...evidence, records: evidence.records.slice(0, -1) }),
  },
  {
    name: "a read gives an offset twice",
    finds: [[9, "other", "a read gives one offset twice"]],
    mutate: (evidence) => ({ ...evidence, progress: [...evidence.progress, evidence.progress[1]!] }),
  },
  {
    name: "nobody followed the stream",
    finds: [[9, "other", "a reader that followed lacks a record"]],
    mutate: (evidence) => ({ ...evidence, followed: [] }),
  },
  {
    name: "a reader that followed stopped before the end",
    finds: [[9, "other", "a reader that followed lacks a record"]],
    mutate(evidence) {
      const victim = evidence.progress.at(-1)!;
      return { ...evidence, followed: evidence.followed.filter((record) => !isAt(record, victim)) };
    },
  },
  {
    name: "a record appears behind a reader that has passed",
    finds: [[9, "other", "a reader passed by an offset that holds a record"]],
    mutate(evidence) {
      const victim = evidence.progress[evidence.progress.length >> 1]!;
      return { ...evidence, followed: evidence.followed.filter((record) => !isAt(record, victim)) };
    },
  },
  {
    name: "a reader sees a record late",
    finds: [[9, "misordered", "a reader saw an offset after a higher one"]],
    mutate(evidence) {
      const victim = evidence.progress[evidence.progress.length >> 1]!;
      return { ...evidence, followed: [...evidence.followed.filter((record) => !isAt(record, victim)), victim] };
    },
  },
];
