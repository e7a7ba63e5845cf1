// Mutants of what events say and where they stand, and of what tables and view hold.
import type { Evidence } from "./evidence.ts";
import type { Mutant } from "./mutants.ts";
import {
  auditOf,
  type Candidate,
  candidates,
  changeEvent,
  changeRecord,
  type EventJson,
  middle,
} from "./mutants-tools.ts";

const DIFFERS = [2, "other", "an event differs from the audit"] as const;
const NO_EVENT = [2, "other", "a record is no event"] as const;

/** Changes the event of a candidate; `fits` also says whether there is something to change. */
const changed =
  (
    operation: string,
    fits: (candidate: Candidate, evidence: Evidence) => boolean,
    change: (candidate: Candidate) => Partial<EventJson>,
  ) =>
  (evidence: Evidence): Evidence => {
    const victim = middle(
      candidates(evidence, operation),
      (candidate) => fits(candidate, evidence),
      `${operation} that fits`,
    );
    return changeEvent(evidence, victim, change(victim));
  };

const withText = (table: string) => (value: string) => value.replace(/^\{"v":1,/, `{"v":1,"note":"${table}",`);

/** A column outside the key that the event carries as text. */
function textColumn({ event, spec }: Candidate): string | undefined {
  return spec.columns.find((name) => !spec.key.includes(name) && typeof event.after?.[name] === "string");
}

const without = (row: EventJson["after"], column: string) =>
  Object.fromEntries(Object.entries(row!).filter(([name]) => name !== column));

/** An update whose audit tells a column that it changed. */
function changedColumn(evidence: Evidence, candidate: Candidate): string | undefined {
  const audit = candidate.spec.key.length === 0 ? undefined : auditOf(evidence, candidate);
  const { types, key } = candidate.spec;
  const changes = (name: string) => audit?.old?.get(name) !== audit?.new?.get(name) && audit?.old?.get(name) != null;
  return audit?.old
    ? candidate.spec.columns.find((name) => !types.has(name) && !key.includes(name) && changes(name))
    : undefined;
}

function withChangedColumn(
  evidence: Evidence,
  change: (candidate: Candidate, column: string) => Partial<EventJson>,
): Evidence {
  const fits = (candidate: Candidate) => changedColumn(evidence, candidate) !== undefined;
  const victim = middle(candidates(evidence, "update"), fits, "update of a text column");
  return changeEvent(evidence, victim, change(victim, changedColumn(evidence, victim)!));
}

const rawly = (change: (value: string) => string) => (evidence: Evidence) => {
  const changes = ({ record: { value } }: Candidate) => change(value!) !== value;
  const { record } = middle(candidates(evidence, "insert"), changes, "insert that this changes");
  return changeRecord(evidence, record, (own) => ({ ...own, value: change(own.value!) }));
};

export const CONTENT_MUTANTS: readonly Mutant[] = [
  {
    name: "a column is left out",
    finds: [DIFFERS],
    mutate: changed(
      "insert",
      (one) => textColumn(one) !== undefined,
      (one) => ({ after: without(one.event.after, textColumn(one)!) }),
    ),
  },
  {
    name: "a value became null",
    finds: [DIFFERS],
    mutate: changed(
      "insert",
      (one) => textColumn(one) !== undefined,
      (one) => ({ after: { ...one.event.after, [textColumn(one)!]: null } }),
    ),
  },
  {
    name: "a null became a value",
    finds: [DIFFERS],
    mutate: changed(
      "insert",
      ({ event, spec }) => spec.columns.some((name) => event.after?.[name] === null && !spec.types.has(name)),
      ({ event, spec }) => ({
        after: {
          ...event.after,
          [spec.columns.find((name) => event.after?.[name] === null && !spec.types.has(name))!]: "null",
        },
      }),
    ),
  },
  {
    name: "an update under FULL has no before image",
    finds: [DIFFERS],
    mutate: changed(
      "update",
      ({ event }) => event.before !== null,
      () => ({ before: null }),
    ),
  },
  {
    name: "a delete has no before image",
    finds: [DIFFERS],
    mutate: changed(
      "delete",
      ({ event }) => event.nextKey === undefined,
      () => ({ before: null }),
    ),
  },
  {
    name: "after holds the old value",
    finds: [DIFFERS],
    mutate: (evidence) =>
      withChangedColumn(evidence, (one, column) => ({
        after: { ...one.event.after, [column]: auditOf(evidence, one)!.old!.get(column) },
      })),
  },
  {
    name: "a column that changed is called unchanged",
    finds: [DIFFERS],
    mutate: (evidence) =>
      withChangedColumn(evidence, ({ event }, column) => ({
        after: without(event.after, column),
        unchanged: [...(event.unchanged ?? []), column],
      })),
  },
  {
    name: "a column is absent and not called unchanged",
    finds: [DIFFERS],
    mutate: changed(
      "update",
      ({ event }) => event.unchanged !== undefined,
      () => ({ unchanged: undefined }),
    ),
  },
  {
    name: "a key change names another key",
    finds: [
      [2, "other", "an event differs from the audit"],
      [2, "other", "a key change's second half does not fit its first"],
    ],
    mutate: changed(
      "delete",
      ({ event }) => event.nextKey !== undefined,
      ({ event }) => ({ nextKey: event.key! }),
    ),
  },
  {
    name: "a before image is not the row that was there, and the audit lies with it",
    finds: [[4, "other", "a before image is not the row that was there"]],
    mutate(evidence) {
      const victim = middle(
        candidates(evidence, "update"),
        (one) =>
          one.event.before !== null &&
          one.spec.key.length > 0 &&
          auditOf(evidence, one) !== undefined &&
          !!wordColumn(one),
        "update under FULL",
      );
      const column = wordColumn(victim)!;
      const audit = auditOf(evidence, victim)!;
      const other = `${victim.event.before![column]}7`;
      const lie = { ...audit, old: new Map([...audit.old!, [column, other]]) };
      const mutated = changeEvent(evidence, victim, { before: { ...victim.event.before, [column]: other } });
      return { ...mutated, audit: evidence.audit.map((row) => (row === audit ? lie : row)) };
    },
  },
  {
    name: "two events of a key exchange what they say",
    finds: [DIFFERS, [4, "other", "a before image is not the row that was there"]],
    mutate(evidence) {
      const byKey = Map.groupBy(candidates(evidence, "update"), ({ spec, record }) => `${spec.table} ${record.key}`);
      const differ = (one: Candidate, other: Candidate) =>
        JSON.stringify(one.event.before) !== JSON.stringify(other.event.before);
      const pairs = [...byKey.values()].filter(
        ([one, other]) =>
          other !== undefined && one!.event.before !== null && one!.record.key !== null && differ(one!, other),
      );
      const [one, other] = middle(pairs, () => true, "key with two updates");
      const images = ({ event: { before, after } }: Candidate) => ({ before, after });
      return changeEvent(changeEvent(evidence, one!, images(other!)), other!, images(one!));
    },
  },
  {
    name: "an event stands in another table's topic",
    finds: [[2, "other", "an event stands in another table's topic"]],
    mutate(evidence) {
      const { record } = middle(candidates(evidence, "insert"), () => true, "insert");
      const { topic } = evidence.tables.find((spec) => spec.topic !== record.topic)!;
      return changeRecord(evidence, record, (own) => ({ ...own, topic, offset: 10_000_000n }));
    },
  },
  {
    name: "an event stands in another partition",
    finds: [[2, "other", "an event stands in another partition than its key's"]],
    mutate(evidence) {
      const { record, spec } = middle(candidates(evidence, "insert"), ({ spec }) => spec.partitions > 1, "insert");
      const partition = (record.partition + 1) % spec.partitions;
      return changeRecord(evidence, record, (own) => ({ ...own, partition, offset: 10_000_000n }));
    },
  },
  {
    name: "a record has another key",
    finds: [[2, "other", "a record has another key than its event"]],
    mutate(evidence) {
      const { record } = middle(
        candidates(evidence, "insert"),
        ({ record }) => record.key !== null,
        "insert with a key",
      );
      return changeRecord(evidence, record, (own) => ({ ...own, key: own.key!.replace(/":"/, '": "') }));
    },
  },
  { name: "an event has a field that nobody knows", finds: [NO_EVENT], mutate: rawly(withText("x")) },
  { name: "an event has no schema", finds: [NO_EVENT], mutate: rawly((value) => value.replace(/,"schema":\d+/, "")) },
  {
    name: "an event is written with spaces",
    finds: [NO_EVENT],
    mutate: rawly((value) => value.replace(',"key":', ', "key":')),
  },
  { name: "an event is cut short", finds: [NO_EVENT], mutate: rawly((value) => value.slice(0, -1)) },
  {
    name: "a number is written as text",
    finds: [NO_EVENT],
    mutate: rawly((value) => value.replace(/("after":\{"\w+":)(-?\d+)(?=[,}])/, '$1"$2"')),
  },
];

/** A column of `before` that is text on the wire. */
function wordColumn({ event, spec }: Candidate): string | undefined {
  return spec.columns.find((name) => !spec.key.includes(name) && typeof event.before?.[name] === "string");
}
