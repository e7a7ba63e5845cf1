// Mutants of which events there are: too few, too many, or of what was rolled back.
import type { Evidence } from "./evidence.ts";
import {
  type ForgedEvent,
  formatLsn,
  parseLsn,
  putTogether,
  runsOf,
  sourceOf,
  takeApart,
  withSource,
} from "./forge.ts";
import type { Mutant } from "./mutants.ts";
import {
  type Candidate,
  candidates,
  changeRecord,
  changeRecords,
  type EventJson,
  forged,
  hasRows,
  isRow,
  middle,
} from "./mutants-tools.ts";

/** Two updates, of which each changes the balance. */
function isTransfer(run: readonly ForgedEvent[], { constantSum: { table, column } }: Evidence): boolean {
  return run.every(({ value }) => {
    if (!value.startsWith(`{"v":1,"table":${JSON.stringify(table)},"operation":"update"`)) return false;
    const { before, after } = JSON.parse(value) as EventJson;
    return before?.[column] !== after?.[column];
  });
}

/** Which row of which transaction an event concerns. */
const changeName = ({ record }: Candidate): string => `${sourceOf(record.value!).xid} ${record.topic} ${record.key}`;

export const EVENT_MUTANTS: readonly Mutant[] = [
  {
    name: "an event is missing",
    finds: [
      [2, "lost", "a change has no event"],
      [3, "other", "the sequence has a gap"],
    ],
    mutate: (evidence) => changeRecord(evidence, middle(evidence.records, isRow, "row event"), () => null),
  },
  {
    name: "an event is missing and all others are numbered without it",
    finds: [[2, "lost", "a change has no event"]],
    mutate: (evidence) => forged(evidence, (runs, at) => runs[at]!.splice(1, 1), hasRows(3)),
  },
  {
    name: "a transaction is missing",
    finds: [
      [2, "lost", "a change has no event"],
      [3, "other", "the sequence has a gap"],
      [6, "other", "a transaction has no end"],
    ],
    mutate(evidence) {
      const { xid } = sourceOf(middle(evidence.records, isRow, "row event").value!);
      return changeRecords(evidence, (record) =>
        record.topic !== `${evidence.stream}.progress` && sourceOf(record.value!).xid === xid ? null : record,
      );
    },
  },
  {
    name: "a transaction is missing and all others are numbered without it",
    finds: [
      [2, "lost", "a change has no event"],
      [6, "other", "a transaction has no end"],
    ],
    mutate: (evidence) => forged(evidence, (runs, at) => runs.splice(at, 1)),
  },
  {
    name: "the end of the stream is missing",
    finds: [
      [1, "other", "the table"],
      [2, "lost", "a change has no event"],
    ],
    mutate(evidence) {
      const runs = runsOf(takeApart(evidence));
      return putTogether(evidence, runs.slice(0, -10).flat());
    },
  },
  {
    name: "half of a transfer is missing",
    finds: [
      [2, "lost", "a change has no event"],
      [6, "other", "a transaction changes the sum"],
    ],
    mutate: (evidence) =>
      forged(
        evidence,
        (runs, at) => runs[at]!.splice(-1, 1),
        (run) => run.length === 2 && isTransfer(run, evidence),
      ),
  },
  {
    name: "an event is there twice",
    finds: [[3, "duplicated", "an event was published again"]],
    mutate(evidence) {
      const used = new Set(evidence.records.map(({ topic, partition, offset }) => `${topic}/${partition}/${offset}`));
      const isLastOfBatch = ({ topic, partition, offset }: (typeof evidence.records)[number]) =>
        !used.has(`${topic}/${partition}/${offset + 1n}`);
      const victim = middle(
        evidence.records,
        (record) => isRow(record) && isLastOfBatch(record),
        "event before a marker",
      );
      return changeRecord(evidence, victim, (record) => [record, { ...record, offset: record.offset + 1n }]);
    },
  },
  {
    name: "an event is there twice under two numbers",
    finds: [[2, "duplicated", "a change has a second event"]],
    // A later change of the same row would be taken for the one that stands too early.
    mutate: (evidence) =>
      forged(
        evidence,
        (runs, at) => runs[at]!.splice(1, 0, runs[at]![0]!),
        (run) =>
          hasRows(1)(run) && !run.slice(1).some(({ topic, key }) => topic === run[0]!.topic && key === run[0]!.key),
      ),
  },
  {
    name: "a transaction is there twice, with numbers of its own",
    finds: [
      [2, "duplicated", "a change has a second event"],
      [3, "misordered", "a transaction's events do not stand together"],
    ],
    mutate: (evidence) =>
      forged(evidence, (runs, at) => {
        const { batch } = runs[at + 1]!.at(-1)!;
        runs.splice(
          at + 2,
          0,
          runs[at]!.map((event) => ({ ...event, batch })),
        );
      }),
  },
  {
    name: "a transaction that was rolled back is there",
    finds: [[5, "other", "an event's transaction is not in the audit"]],
    mutate: (evidence) =>
      forged(
        evidence,
        (runs, at) => {
          const { lsn } = sourceOf(runs[at]![0]!.value);
          const source = { xid: "999999", lsn: formatLsn(parseLsn(lsn) + 1n) };
          runs.splice(
            at + 1,
            0,
            runs[at]!.map((event) => ({ ...event, value: withSource(event.value, source) })),
          );
        },
        hasRows(1),
      ),
  },
  {
    name: "a subtransaction that was rolled back is there",
    finds: [[2, "other", "an event has no change"]],
    mutate(evidence) {
      const updates = new Set(candidates(evidence, "update").map(changeName));
      const { record } = middle(
        candidates(evidence, "insert"),
        // An update that the transaction kept would be taken for the one that it took back.
        (one) => one.event.previousKey === undefined && !updates.has(changeName(one)),
        "insert without an update",
      );
      const { sequence } = sourceOf(record.value!);
      const events = takeApart(evidence);
      const at = events.findIndex(({ value }) => sourceOf(value).sequence === sequence);
      const value = events[at]!.value.replace('"operation":"insert"', '"operation":"update"');
      return putTogether(evidence, events.toSpliced(at, 0, { ...events[at]!, value }));
    },
  },
];
