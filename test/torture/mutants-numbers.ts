// Mutants of how events are numbered and in which order they stand.
import type { Evidence } from "./evidence.ts";
import { type ForgedEvent, putTogether, runsOf, sourceOf, takeApart, withSource } from "./forge.ts";
import type { Mutant } from "./mutants.ts";
import { changeRecord, changeRecords, forged, hasRows, isRow, middle } from "./mutants-tools.ts";

export const NUMBER_MUTANTS: readonly Mutant[] = [
  {
    name: "a barrier is missing in the last partition",
    finds: [[3, "other", "a barrier is missing in a partition"]],
    mutate(evidence) {
      const last = Math.max(...evidence.tables.map(({ partitions }) => partitions)) - 1;
      const fits = (record: (typeof evidence.records)[number]) => !isRow(record) && record.partition === last;
      return changeRecord(evidence, middle(evidence.records, fits, "truncate"), () => null);
    },
  },
  {
    name: "a barrier's copies differ",
    finds: [[3, "other", "a sequence stands for two events"]],
    mutate(evidence) {
      const victim = middle(evidence.records, (record) => !isRow(record), "truncate");
      return changeRecord(evidence, victim, (record) => ({
        ...record,
        value: record.value!.replace(/\d(?=Z",)/, (digit) => (digit === "0" ? "1" : "0")),
      }));
    },
  },
  {
    name: "two transactions change their places",
    finds: [[3, "misordered", "a transaction stands after one that committed later"]],
    mutate: (evidence) => forged(evidence, (runs, at) => runs.splice(at, 2, runs[at + 1]!, runs[at]!)),
  },
  {
    name: "two transactions are interleaved",
    finds: [[3, "misordered", "a transaction's events do not stand together"]],
    mutate: (evidence) =>
      forged(
        evidence,
        (runs, at) => runs.splice(at, 2, runs[at]!.slice(0, 1), runs[at + 1]!, runs[at]!.slice(1)),
        hasRows(2),
      ),
  },
  {
    name: "transactions stand in the order of their xids",
    finds: [[3, "misordered", "a transaction stands after one that committed later"]],
    mutate: (evidence) => byXid(evidence, false),
  },
  {
    name: "transactions stand in the order of their xids, and their LSNs say so",
    finds: [[3, "other", "a transaction has another commit LSN than the WAL"]],
    mutate: (evidence) => byXid(evidence, true),
  },
  {
    name: "two events of a transaction change their places",
    finds: [[2, "misordered", "an event stands before one that was earlier"]],
    mutate: (evidence) =>
      forged(
        evidence,
        (runs, at) => {
          const [first, second] = runs[at]!;
          const exchanged = [second!, first!].map((event, place) => ({
            ...event,
            value: withSource(event.value, { index: sourceOf(runs[at]![place]!.value).index }),
          }));
          runs[at]!.splice(0, 2, ...exchanged);
        },
        (run) =>
          hasRows(2)(run) &&
          run[0]!.key !== run[1]!.key &&
          !run.some(({ value }) => /"(next|previous)Key":/.test(value)),
      ),
  },
  {
    name: "two events of a partition change their offsets",
    finds: [[3, "misordered", "sequences fall in a partition"]],
    mutate(evidence) {
      const { records } = evidence;
      const next = (record: (typeof records)[number]) =>
        records.find(
          (other) =>
            other.topic === record.topic && other.partition === record.partition && other.offset === record.offset + 1n,
        );
      const one = middle(records, (record) => isRow(record) && next(record) !== undefined, "two records side by side");
      const other = next(one)!;
      const first = changeRecord(evidence, one, (record) => ({ ...record, offset: -1n }));
      const second = changeRecord(first, other, (record) => ({ ...record, offset: one.offset }));
      return changeRecord(second, { ...one, offset: -1n }, (record) => ({ ...record, offset: other.offset }));
    },
  },
  {
    name: "a number is left out",
    finds: [[3, "other", "the sequence has a gap"]],
    mutate(evidence) {
      const { sequence: from } = sourceOf(middle(evidence.records, isRow, "row event").value!);
      const later = (sequence: number) => (sequence >= from ? sequence + 1 : sequence);
      const own = `${evidence.stream}.progress`;
      const change = (value: string) =>
        value.replaceAll(
          /"((?:firstS|completeS|s)equence)":(\d+)/g,
          (_, name, sequence) => `"${name}":${later(Number(sequence))}`,
        );
      const renumbered = changeRecords(evidence, (record) => {
        if (record.topic === own) return { ...record, value: change(record.value!) };
        return { ...record, value: withSource(record.value!, { sequence: later(sourceOf(record.value!).sequence) }) };
      });
      return {
        ...renumbered,
        progress: evidence.progress.map((record) => ({ ...record, value: change(record.value!) })),
      };
    },
  },
  {
    name: "the last event of a transaction does not say so",
    finds: [
      [3, "other", "the last event of a transaction is not marked"],
      [6, "other", "a transaction has no end"],
    ],
    mutate(evidence) {
      const victim = middle(evidence.records, (record) => isRow(record) && sourceOf(record.value!).last, "last event");
      return changeRecord(evidence, victim, (record) => ({
        ...record,
        value: withSource(record.value!, { last: false }),
      }));
    },
  },
  {
    name: "an event says that it is the last one and is not",
    finds: [[3, "other", "an event is marked as last and is not"]],
    mutate(evidence) {
      const victim = middle(
        evidence.records,
        (record) => isRow(record) && !sourceOf(record.value!).last,
        "inner event",
      );
      return changeRecord(evidence, victim, (record) => ({
        ...record,
        value: withSource(record.value!, { last: true }),
      }));
    },
  },
];

/** Orders all transactions by xid; with `lies` each takes the LSN of the place it comes to. */
function byXid(evidence: Evidence, lies: boolean): Evidence {
  const runs = runsOf(takeApart(evidence));
  const xidOf = (run: readonly ForgedEvent[]) => Number(sourceOf(run[0]!.value).xid);
  const sorted = [...runs].sort((a, b) => xidOf(a) - xidOf(b));
  const moved = sorted.map((run, at) => {
    const { lsn } = sourceOf((lies ? runs[at]! : run)[0]!.value);
    return run.map((event) => ({ ...event, batch: runs[at]![0]!.batch, value: withSource(event.value, { lsn }) }));
  });
  return putTogether(evidence, moved.flat());
}
