// Mutants of single records and observations that contradict what a stream is, rather than what happened in it.
import type { Evidence, ReadRecord } from "./evidence.ts";
import { operationOf, sourceOf, tableOf } from "./forge.ts";
import type { Mutant } from "./mutants.ts";
import { candidates, changeEvent, changeRecords, isAt, middle, middleIndex, replaced } from "./mutants-tools.ts";

interface Progress {
  stream: string;
  firstSequence: number;
  sequence: number;
  completeSequence: number;
  endLsn: string;
  last: { complete: boolean } | null;
  partitions: Record<string, Record<string, { sequence: number; offset: number }>>;
}

const parse = ({ value }: ReadRecord): Progress => JSON.parse(value!);

/** A progress record with events in the middle, changed wherever it was read; `change` may give others to stand after it. */
function changeProgress(
  evidence: Evidence,
  change: (record: ReadRecord, progress: Progress) => readonly ReadRecord[],
  fits = ({ sequence, firstSequence, last }: Progress) => sequence > firstSequence && last !== null && last.complete,
): Evidence {
  const victim = middle(evidence.progress, (record) => fits(parse(record)), "progress record that fits");
  const changed = (records: readonly ReadRecord[]) =>
    records.flatMap((record) => (isAt(record, victim) ? change(record, parse(record)) : record));
  return { ...evidence, progress: changed(evidence.progress), followed: changed(evidence.followed) };
}

const withFields = (fields: (progress: Progress) => Partial<Progress>) => (evidence: Evidence) =>
  changeProgress(evidence, (record, progress) => [
    { ...record, value: JSON.stringify({ ...progress, ...fields(progress) }) },
  ]);

/** A record without events after a piece of a transaction. */
function withIdle(evidence: Evidence, change: Partial<Progress>, place: Partial<ReadRecord>): Evidence {
  return changeProgress(
    evidence,
    (record, progress) => {
      const value = JSON.stringify({ ...progress, firstSequence: progress.sequence + 1, partitions: {}, ...change });
      return [record, { ...record, offset: record.offset + 1n, value, ...place }];
    },
    ({ last, sequence, firstSequence }) => last?.complete === false && sequence >= firstSequence,
  );
}

/** All copies of one truncate. */
function changeTruncate(evidence: Evidence, change: (value: string) => string): Evidence {
  const isTruncate = ({ value }: ReadRecord) => operationOf(value!) === "truncate";
  const { value } = middle(evidence.records, isTruncate, "truncate");
  return changeRecords(evidence, (record) => (record.value === value ? { ...record, value: change(value!) } : record));
}

export const RECORD_MUTANTS: readonly Mutant[] = [
  {
    name: "a progress record is not written as documented",
    finds: [[7, "other", "a record is no progress record"]],
    mutate: (evidence) => changeProgress(evidence, (record) => [{ ...record, value: `${record.value} ` }]),
  },
  {
    name: "a progress record is of another stream",
    finds: [[7, "other", "a progress record is of another stream"]],
    mutate: withFields(() => ({ stream: "another" })),
  },
  {
    name: "a progress record has another key",
    finds: [[7, "other", "a progress record has another key than its stream"]],
    mutate: (evidence) => changeProgress(evidence, (record) => [{ ...record, key: "another" }]),
  },
  {
    name: "progress comes of another slot",
    finds: [[7, "other", "progress changes its origin"]],
    mutate: (evidence) =>
      changeProgress(evidence, (record) => [{ ...record, value: record.value!.replace('"slot":"', '"slot":"x') }]),
  },
  {
    name: "more is complete than is published",
    finds: [[7, "other", "completeSequence is out of bounds"]],
    mutate: withFields(({ sequence }) => ({ completeSequence: sequence + 1 })),
  },
  {
    name: "progress does not name its last transaction",
    finds: [[7, "other", "a record of progress does not say which transaction is last"]],
    mutate: withFields(() => ({ last: null })),
  },
  {
    name: "an idle record stands inside a transaction",
    finds: [[7, "other", "a record without events stands inside a transaction"]],
    mutate: (evidence) => withIdle(evidence, {}, {}),
  },
  {
    name: "an idle record of a new producer moves the position inside a transaction",
    finds: [[7, "other", "a record without events stands inside a transaction"]],
    mutate: (evidence) => withIdle(evidence, { endLsn: "FFFFFF/0" }, { producerId: "987654321" }),
  },
  {
    name: "a commit vector reaches into the next batch",
    finds: [[6, "other", "a commit vector reaches over an event of another batch"]],
    mutate(evidence) {
      const { progress } = evidence;
      const shared = (at: number) =>
        Object.keys(parse(progress[at]!).partitions).find((topic) => {
          const later = progress[at + 1] && parse(progress[at + 1]!).partitions[topic];
          return later !== undefined && Object.keys(parse(progress[at]!).partitions[topic]!)[0]! in later;
        });
      const at = middleIndex(
        progress,
        (_, at) => shared(at) !== undefined,
        "batch that shares a partition with the next",
      );
      const topic = shared(at)!;
      const own = parse(progress[at]!);
      const [partition] = Object.keys(own.partitions[topic]!);
      own.partitions[topic]![partition!] = parse(progress[at + 1]!).partitions[topic]![partition!]!;
      return { ...evidence, progress: replaced(progress, at, { ...progress[at]!, value: JSON.stringify(own) }) };
    },
  },
  {
    name: "nothing is stored any more",
    finds: [[7, "other", "the stored position is gone"]],
    mutate: (evidence) => ({
      ...evidence,
      positions: [...evidence.positions, { at: 1e9, confirmed: 0n, stored: null }],
    }),
  },
  {
    name: "a barrier counts other partitions than there are",
    finds: [[3, "other", "a barrier counts its copies wrongly"]],
    mutate: (evidence) => changeTruncate(evidence, (value) => value.replace(/"copies":\d+/, '"copies":99')),
  },
  {
    name: "an event names another table's schema",
    finds: [[3, "other", "a schema id stands for two tables"]],
    mutate(evidence) {
      const [one] = candidates(evidence, "insert");
      const other = middle(candidates(evidence, "insert"), ({ spec }) => spec !== one!.spec, "insert of another table");
      return changeEvent(evidence, other, { schema: one!.event.schema! });
    },
  },
  {
    name: "a delete that is no key change lists unchanged columns",
    finds: [[2, "other", "a delete lists unchanged columns"]],
    mutate(evidence) {
      const victim = middle(candidates(evidence, "delete"), ({ event }) => event.nextKey === undefined, "delete");
      return changeEvent(evidence, victim, { unchanged: ["x"] });
    },
  },
  {
    name: "nobody knows the value of an unchanged column",
    finds: [[4, "other", "unchanged columns have no row that holds them"]],
    mutate(evidence) {
      const { record } = middle(
        candidates(evidence, "update"),
        ({ event }) => event.unchanged !== undefined,
        "update with unchanged columns",
      );
      // Without all that came before it under this key.
      const { sequence } = sourceOf(record.value!);
      const isEarlier = (other: ReadRecord) =>
        other.topic === record.topic && other.key === record.key && sourceOf(other.value!).sequence < sequence;
      return changeRecords(evidence, (other) => (isEarlier(other) ? null : other));
    },
  },
  {
    name: "an event is of a table that nobody captures",
    finds: [[2, "other", "a record is no event"]],
    mutate(evidence) {
      const table = tableOf(middle(evidence.records, () => true, "record").value!);
      return { ...evidence, tables: evidence.tables.filter((spec) => spec.table !== table) };
    },
  },
  {
    name: "transfers keep another sum than they should",
    finds: [[6, "other", "the sum is never what it must be"]],
    mutate: (evidence) => ({ ...evidence, constantSum: { ...evidence.constantSum, value: -1n } }),
  },
  {
    name: "a table was not read",
    finds: [[1, "other", "a table was not read"]],
    mutate: (evidence) => ({ ...evidence, contents: new Map([...evidence.contents].slice(1)) }),
  },
  {
    name: "the view is empty",
    finds: [[1, "other", "the view holds no table"]],
    mutate: (evidence) => ({ ...evidence, view: new Map() }),
  },
  {
    name: "the view lacks a table",
    finds: [[1, "other", "the view lacks a table"]],
    mutate: (evidence) => ({ ...evidence, view: new Map([...(evidence.view ?? [])].slice(1)) }),
  },
  {
    name: "the view holds a table that is not captured",
    finds: [[1, "other", "the view holds a table that is not captured"]],
    mutate: (evidence) => ({ ...evidence, view: new Map([...(evidence.view ?? []), ["public.secret", []]]) }),
  },
];
