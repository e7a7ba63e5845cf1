// Mutants of the schemas topic, of commit times, and of what the project's own verification says.
import type { Evidence, ReadRecord } from "./evidence.ts";
import { operationOf, sourceOf } from "./forge.ts";
import type { Mutant } from "./mutants.ts";
import { changeRecords, middle, replaced } from "./mutants-tools.ts";

interface Schema {
  schema: number;
  table: string;
  oid: number;
  identity: string;
  columns: { name: string; oid: number; typmod: number; key: number | null }[];
}

const parse = ({ value }: ReadRecord): Schema => JSON.parse(value!);

/** The record of a table that keeps its columns and has a key, changed. */
function changeSchema(evidence: Evidence, change: (schema: Schema) => void, key?: string): Evidence {
  const { schemas, catalog } = evidence;
  const inserted = new Set(
    evidence.records.flatMap(({ value }) =>
      operationOf(value!) === "insert" ? [Number(/\},"schema":(\d+)/.exec(value!)![1])] : [],
    ),
  );
  const isSteady = (record: ReadRecord) => {
    const { table, columns } = parse(record);
    const names = catalog.get(table)?.columns.map(({ name }) => name);
    const isOnly = schemas.filter((other) => parse(other).table === table).length === 1;
    const isUsed = inserted.has(parse(record).schema);
    return (
      isOnly &&
      isUsed &&
      columns.length > 1 &&
      columns.some((one) => one.key !== null) &&
      JSON.stringify(names) === JSON.stringify(columns.map(({ name }) => name))
    );
  };
  const victim = middle(schemas, isSteady, "schema of a table that keeps its columns");
  const schema = parse(victim);
  change(schema);
  const record = { ...victim, key: key ?? victim.key, value: JSON.stringify(schema) };
  return { ...evidence, schemas: replaced(schemas, schemas.indexOf(victim), record) };
}

const differs = (name: string, change: (schema: Schema) => void): Mutant => ({
  name,
  finds: [[3, "other", "a schema differs from the catalogue"]],
  mutate: (evidence) => changeSchema(evidence, change),
});

/** All events of one transaction, and the progress that names it, say another commit time. */
function otherTime(evidence: Evidence): Evidence {
  const { xid } = sourceOf(middle(evidence.records, () => true, "record").value!);
  const later = (value: string) =>
    value.replace(/("timestamp":"[^"]*\d)(\d)Z"/, (_, start, digit) => `${start}${digit === "0" ? 1 : 0}Z"`);
  const isOfProgress = ({ topic }: ReadRecord) => topic === `${evidence.stream}.progress`;
  const change = (record: ReadRecord) => {
    const isVictim = isOfProgress(record)
      ? JSON.parse(record.value!).last?.xid === xid
      : sourceOf(record.value!).xid === xid;
    return isVictim ? { ...record, value: later(record.value!) } : record;
  };
  return { ...changeRecords(evidence, change), progress: evidence.progress.map(change) };
}

export const SCHEMA_MUTANTS: readonly Mutant[] = [
  {
    name: "a transaction has another time than its commit",
    finds: [[2, "other", "an event has another time than its commit"]],
    mutate: otherTime,
  },
  {
    name: "a schema is not recorded",
    finds: [[3, "other", "an event's schema is not recorded"]],
    mutate: (evidence) => ({
      ...evidence,
      schemas: evidence.schemas.filter(
        (record) => parse(record).schema !== JSON.parse(evidence.records[0]!.value!).schema,
      ),
    }),
  },
  {
    name: "a schema that an event refers to is left out",
    finds: [[3, "other", "an event's schema is not recorded"]],
    mutate: (evidence) => {
      const event = evidence.records.find(({ value }) => /"schema":\d+/.test(value ?? ""))!;
      const id = /"schema":(\d+)/.exec(event.value!)![1];
      return { ...evidence, schemas: evidence.schemas.filter(({ key }) => key !== id) };
    },
  },
  {
    name: "a schema id gets another meaning",
    finds: [[3, "other", "a schema id has two meanings"]],
    mutate: (evidence) => {
      const first = evidence.schemas[0]!;
      const value = first.value!.replace(/"readAt":"[^"]*"/, '"readAt":"F/F"');
      return { ...evidence, schemas: [...evidence.schemas, { ...first, value, offset: first.offset + 1_000_000n }] };
    },
  },
  {
    name: "a schema record has another key",
    finds: [[3, "other", "a schema id has two meanings"]],
    mutate: (evidence) => changeSchema(evidence, () => undefined, "another"),
  },
  {
    name: "a schema record has a field that nobody knows",
    finds: [[3, "other", "a record is no schema record"]],
    mutate: (evidence) => changeSchema(evidence, (schema) => void Object.assign(schema, { note: 1 })),
  },
  {
    name: "a schema record is of a table that is not captured",
    finds: [[3, "other", "a schema is of a table that is not captured"]],
    mutate: (evidence) =>
      changeSchema(evidence, (schema) => {
        schema.table = "public.secret";
      }),
  },
  differs("a schema has another type", (schema) => {
    schema.columns[0]!.oid++;
  }),
  differs("a schema has another type modifier", (schema) => {
    schema.columns[0]!.typmod = 7;
  }),
  differs("a schema knows no key", (schema) => {
    for (const column of schema.columns) column.key = null;
  }),
  differs("a schema has another identity", (schema) => {
    schema.identity = "x";
  }),
  differs("a schema is of another table of that name", (schema) => {
    schema.oid++;
  }),
  {
    name: "a schema lacks a column that events have",
    finds: [
      [3, "other", "a schema differs from the catalogue"],
      [3, "other", "an event has other columns than its schema"],
    ],
    mutate: (evidence) => changeSchema(evidence, (schema) => void schema.columns.pop()),
  },
  {
    name: "afterimage verify finds a difference",
    finds: [[1, "other", "afterimage verify does not prove the stream"]],
    mutate: (evidence) => ({ ...evidence, verified: { exitCode: 1, result: "wrong", findings: ["ROW_DIFFERS"] } }),
  },
  {
    name: "afterimage verify fails",
    finds: [[1, "other", "afterimage verify does not prove the stream"]],
    mutate: (evidence) => ({ ...evidence, verified: { exitCode: 1, result: null, findings: ["VERIFY_BEHIND"] } }),
  },
  {
    name: "afterimage verify was never asked",
    finds: [[1, "other", "afterimage verify was not asked"]],
    mutate: (evidence) => ({ ...evidence, verified: null }),
  },
];
