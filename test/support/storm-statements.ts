// The statements of a schema storm, made at random of what the tables are like.
import type { Random } from "../torture/random.ts";

export interface Column {
  readonly name: string;
  readonly type: string;
  readonly isKey: boolean;
}

export interface Table {
  /** Quoted, with its schema. */
  readonly name: string;
  readonly columns: readonly Column[];
  readonly partitioned: boolean;
  /** A partition, or it inherits, or others inherit from it. */
  readonly related: boolean;
  readonly full: boolean;
  /** Its replica identity is an index. */
  readonly indexed: boolean;
  /** It has a generated column, which Postgres does not send. */
  readonly generated: boolean;
}

const KEYS = 1_000;
const TYPES = ["int", "bigint", "text", "numeric", "timestamp", "boolean", "float8", "mood", "jsonb"];

/** A change of the schema, of one of these tables or beside them; `fresh` gives a name that nothing has, by its first letter. */
export function statement(random: Random, tables: readonly Table[], fresh: (letter: string) => string): string {
  const table = random.pick(tables);
  const { name } = table;
  const bare = name.slice(name.indexOf(".") + 1);
  const keys = table.columns.filter(({ isKey }) => isKey);
  const others = table.columns.filter(({ isKey }) => !isKey);
  const column = others.length === 0 ? null : random.pick(others);
  const made: (() => string | null)[] = [
    () => `ALTER TABLE ${name} ADD ${fresh("c")} ${random.pick(TYPES)}`,
    () => `ALTER TABLE ${name} ADD ${fresh("c")} int DEFAULT ${random.int(1, 9)}`,
    () => `ALTER TABLE ${name} ADD ${fresh("c")} float8 DEFAULT random()`,
    () => `ALTER TABLE ${name} ADD ${fresh("c")} text, ADD ${fresh("c")} mood DEFAULT (enum_range(null::mood))[1]`,
    () =>
      table.full || table.related
        ? null
        : `ALTER TABLE ${name} ADD ${fresh("g")} int GENERATED ALWAYS AS (1 + 1) STORED`,
    () => (column === null ? null : dropColumn(table, column.name)),
    () => `ALTER TABLE ${name} RENAME ${random.pick(table.columns).name} TO ${fresh("r")}`,
    () => (column === null ? null : retype(random, name, column)),
    () =>
      keys.length === 1
        ? `ALTER TABLE ${name} ALTER ${keys[0]!.name} TYPE ${random.pick(["bigint", "numeric", "int"])}`
        : null,
    () => otherKey(table, keys, fresh("k")),
    () =>
      keys.length === 0
        ? null
        : `DROP TABLE ${name} CASCADE; CREATE TABLE ${name} (id int PRIMARY KEY, v text, ${fresh("c")} int DEFAULT 3); INSERT INTO ${name} SELECT g, 'again' FROM generate_series(${random.int(1, 20)}, 30) g`,
    () => {
      const { name: other, columns } = random.pick(tables);
      const theirs = other.slice(other.indexOf(".") + 1);
      const between = fresh("swap");
      return other.split(".")[0] !== name.split(".")[0] ||
        other === name ||
        keys.length === 0 ||
        !columns.some(({ isKey }) => isKey)
        ? null
        : `ALTER TABLE ${name} RENAME TO ${between}; ALTER TABLE ${other} RENAME TO ${bare}; ALTER TABLE ${name.split(".")[0]}.${between} RENAME TO ${theirs}`;
    },
    () => `ALTER TABLE ${name} RENAME TO ${fresh("t")}`,
    () => `ALTER TABLE ${name} SET SCHEMA ${name.startsWith("s2.") ? "public" : "s2"}`,
    () => `TRUNCATE ${name}${random.chance(0.3) ? `, ${random.pick(tables).name}` : ""}`,
    () =>
      keys.length === 0 || table.related
        ? null
        : `ALTER TABLE ${name} REPLICA IDENTITY ${random.pick([table.generated ? "DEFAULT" : "FULL", "DEFAULT"])}`,
    () => (column === null || table.partitioned ? null : uniqueIdentity(name, column, fresh("i"))),
    () =>
      random.pick([
        "ALTER TABLE part DETACH PARTITION part1",
        "ALTER TABLE part ATTACH PARTITION part1 FOR VALUES FROM (0) TO (500)",
      ]),
    () => {
      const name = fresh("x");
      const from = 1000 + 10 * Number(name.slice(1));
      return random.pick([
        `CREATE TABLE ${name} PARTITION OF part FOR VALUES FROM (${from}) TO (${from + 10})`,
        "DROP TABLE part2",
        "CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (500) TO (1000)",
      ]);
    },
    () =>
      keys.length !== 1 || table.partitioned || table.related
        ? null
        : `CREATE TABLE ${fresh("h")} (own int, PRIMARY KEY (${keys[0]!.name})) INHERITS (${name})`,
    () => {
      const to = fresh("m");
      return `DO $$ BEGIN EXECUTE format('ALTER TYPE mood RENAME VALUE %L TO ${to}', (enum_range(null::mood))[1]); END $$`;
    },
    () => `ALTER TYPE pair ADD ATTRIBUTE ${fresh("a")} int`,
    () => {
      const name = fresh("t");
      return `CREATE TABLE ${name} (id int PRIMARY KEY, v text, p pair); INSERT INTO ${name} SELECT g FROM generate_series(1, 20) g`;
    },
  ];
  for (;;) {
    const statement = random.pick(made)();
    if (statement !== null) return statement;
  }
}

function otherKey({ name, related, partitioned }: Table, keys: readonly Column[], fresh: string): string | null {
  if (related || partitioned || keys.length === 0) return null;
  const constraint = `(SELECT conname FROM pg_constraint WHERE conrelid = '${name}'::regclass AND contype = 'p')`;
  return `DO $$ BEGIN EXECUTE format('ALTER TABLE ${name} DROP CONSTRAINT %I, ADD ${fresh} int GENERATED BY DEFAULT AS IDENTITY, ADD PRIMARY KEY (${fresh})', ${constraint}); END $$`;
}

function uniqueIdentity(name: string, column: Column, index: string): string {
  return `ALTER TABLE ${name} ALTER ${column.name} SET NOT NULL; CREATE UNIQUE INDEX ${index} ON ${name} (${column.name}); ALTER TABLE ${name} REPLICA IDENTITY USING INDEX ${index}`;
}

/** With the index that was the identity no row could be updated any more, and no start gets past that. */
function dropColumn({ name, columns, indexed, generated }: Table, column: string): string | null {
  const alter = `ALTER TABLE ${name} DROP ${column}`;
  if (!indexed) return alter;
  const hasKey = columns.some(({ isKey }) => isKey);
  return !hasKey && generated ? null : `${alter}; ALTER TABLE ${name} REPLICA IDENTITY ${hasKey ? "DEFAULT" : "FULL"}`;
}

function retype(random: Random, name: string, { name: column, type }: Column): string {
  const alter = (to: string, using = "") => `ALTER TABLE ${name} ALTER ${column} TYPE ${to}${using}`;
  switch (type) {
    case "integer":
      return alter(random.pick(["bigint", "numeric(12,2)", "text", "oid"]));
    case "text":
      return random.chance(0.5) ? alter("varchar") : alter("text", ` USING ${column} || '!'`);
    case "timestamp without time zone":
      return `SET timezone = 'UTC'; ${alter("timestamptz")}`;
    case "timestamp with time zone":
      return alter("timestamp");
    default:
      return alter("text");
  }
}

/** One statement that writes to the table. */
export function dml(random: Random, { name, columns }: Table): string {
  const id = random.int(1, KEYS - 1);
  const keys = columns.filter(({ isKey }) => isKey);
  const others = columns.filter(({ isKey }) => !isKey);
  const first = keys[0] ?? columns[0]!;
  const where = `${first.name}::text LIKE '%${random.int(0, 9)}${random.int(0, 9)}'`;
  const roll = random.int(0, 9);
  if (roll < 5 || others.length === 0) {
    const some = others.filter(() => random.chance(0.7));
    const list = [...keys, ...some].map((column) => column.name);
    const values = [...keys.map(() => String(id)), ...some.map((column) => value(random, column.type))];
    return list.length === 0
      ? `INSERT INTO ${name} DEFAULT VALUES`
      : `INSERT INTO ${name} (${list.join(", ")}) VALUES (${values.join(", ")})`;
  }
  if (roll < 8) {
    const column = random.pick(others);
    return `UPDATE ${name} SET ${column.name} = ${value(random, column.type)} WHERE ${where}`;
  }
  if (roll === 8 && keys.length > 0) {
    return `UPDATE ${name} SET ${first.name} = ${random.int(1, KEYS - 1)} WHERE ${first.name}::text = '${id}'`;
  }
  return `DELETE FROM ${name} WHERE ${where}`;
}

function value(random: Random, type: string): string {
  if (random.chance(0.15)) return "NULL";
  switch (type) {
    case "text":
    case "character varying":
      return random.chance(0.3) ? `repeat(md5(random()::text), 150)` : `'${random.int(0, 99)}'`;
    case "timestamp without time zone":
    case "timestamp with time zone":
      return "clock_timestamp()";
    case "boolean":
      return random.pick(["true", "false"]);
    case "mood":
      return `(enum_range(null::mood))[${random.int(1, 2)}]`;
    case "pair":
      return "NULL::pair";
    case "jsonb":
      return `'{"a": ${random.int(0, 9)}}'`;
    default:
      return String(random.int(-50, 500));
  }
}
