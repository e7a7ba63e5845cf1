// Random DDL of a database, and DML of whatever tables are there meanwhile: everything comes from the seed, but for how
// the sessions interleave. What Postgres refuses is passed over: a table may be gone, locked, or have another shape.
import type pg from "pg";
import { quoteIdentifier } from "../../src/event/identifier.ts";
import { type Random, seeded } from "../torture/random.ts";
import { type Column, dml, statement, type Table } from "./storm-statements.ts";

export const SETUP = `
  CREATE SCHEMA s2;
  CREATE TYPE mood AS ENUM ('m1', 'm2');
  CREATE TYPE pair AS (a int, b int);
  CREATE TABLE t0 (id int PRIMARY KEY, v text, n int, at timestamp);
  ALTER TABLE t0 ALTER v SET STORAGE EXTERNAL;
  CREATE TABLE t1 (id int PRIMARY KEY, v text, n int, m mood, p pair);
  ALTER TABLE t1 REPLICA IDENTITY FULL;
  CREATE TABLE t2 (id int, n int, v text, PRIMARY KEY (n, id));
  CREATE TABLE s2.t3 (id int PRIMARY KEY, n int);
  CREATE TABLE bare (id int, v text); ALTER TABLE bare REPLICA IDENTITY FULL;
  CREATE TABLE part (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
  CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (500);
  CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (500) TO (1000);`;

const TABLES = `
  SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relkind = 'p' AS partitioned, c.relreplident = 'f' AS full, c.relreplident = 'i' AS indexed,
         EXISTS (SELECT FROM pg_attribute g WHERE g.attrelid = c.oid AND g.attgenerated <> '') AS generated,
         c.relispartition OR EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhparent, i.inhrelid)) AS related,
         (SELECT json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, NULL),
                                            'isKey', coalesce(a.attnum = ANY (i.indkey), false)) ORDER BY a.attnum)
            FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p') AND n.nspname IN ('public', 's2') ORDER BY 1`;

/** Everything that another session or an earlier statement may have made impossible. */
const EXPECTED = /^(0A|21|22|23|2B|25|2D|40|42|55|XX)/;

export class SchemaStorm {
  readonly #random: Random;
  readonly #publication: string;
  /** What was done, in its order. */
  readonly done: string[] = [];
  /** Names given to what is made. */
  #names = 0;

  constructor(seed: number, publication: string) {
    this.#random = seeded(`schema storm ${seed}`);
    this.#publication = publication;
  }

  /** Writes until the signal: some rows in each transaction, which may be rolled back. */
  async write(client: pg.Client, label: string, signal: AbortSignal): Promise<void> {
    const random = this.#random.fork(label);
    await client.query("SET lock_timeout = '500ms'; SET deadlock_timeout = '50ms'");
    while (!signal.aborted) {
      const tables = await tablesOf(client);
      await attempt(client, "BEGIN");
      for (let rows = random.int(1, 6); rows > 0 && tables.length > 0; rows--) {
        await attempt(client, `SAVEPOINT s`);
        if ((await attempt(client, dml(random, random.pick(tables)))) !== null) {
          await attempt(client, "ROLLBACK TO s");
        }
      }
      await attempt(client, random.chance(0.1) ? "ROLLBACK" : "COMMIT");
    }
  }

  /** One change of the schema: alone, or in a transaction between rows, of which a part may be rolled back. */
  async change(client: pg.Client): Promise<void> {
    const random = this.#random;
    const tables = await tablesOf(client);
    if (random.chance(0.1)) {
      await this.#say(client, `VACUUM FULL ${random.pick(tables).name}`);
      return;
    }
    if (random.chance(0.1)) {
      await this.#leaveAndReturn(client, random.pick(tables));
      return;
    }
    if (random.chance(0.5)) {
      await this.#say(client, statement(random, tables, this.#fresh));
      return;
    }
    await this.#say(client, "BEGIN");
    for (let steps = random.int(1, 4); steps > 0; steps--) {
      const isUndone = random.chance(0.25);
      await this.#say(client, "SAVEPOINT s");
      const now = await tablesOf(client);
      if ((await attempt(client, dml(random, random.pick(now)))) !== null) {
        await attempt(client, "ROLLBACK TO s");
      }
      const failed = await this.#say(client, statement(random, now, this.#fresh));
      if (failed || isUndone) {
        await this.#say(client, "ROLLBACK TO s");
      }
      const then = await tablesOf(client);
      await this.#say(client, "SAVEPOINT s");
      if ((await attempt(client, dml(random, random.pick(then)))) !== null) {
        await this.#say(client, "ROLLBACK TO s");
      }
    }
    await this.#say(client, random.chance(0.15) ? "ROLLBACK" : "COMMIT");
  }

  /** Out of the publication and back, perhaps by a filter, with rows that nobody hears of in between. */
  async #leaveAndReturn(client: pg.Client, table: Table): Promise<void> {
    if (table.related || table.partitioned) return;
    const random = this.#random;
    const keys = table.columns.filter(({ isKey }) => isKey);
    const list = keys.concat(table.columns.filter((column) => !column.isKey && random.chance(0.5)));
    const names = list.map(({ name }) => quoteIdentifier(name)).join(", ");
    const filter = keys.length > 0 && /int|numeric/.test(keys[0]!.type) ? ` WHERE (${keys[0]!.name} > 100)` : "";
    const back = table.full ? "" : random.pick(["", filter, keys.length > 0 ? ` (${names})` : ""]);
    const publication = quoteIdentifier(this.#publication);
    await this.#say(client, `ALTER PUBLICATION ${publication} DROP TABLE ${table.name}`);
    for (let rows = 3; rows > 0; rows--) {
      await attempt(client, dml(random, table));
    }
    if (await this.#say(client, `ALTER PUBLICATION ${publication} ADD TABLE ONLY ${table.name}${back}`)) {
      await this.#say(client, `ALTER PUBLICATION ${publication} ADD TABLE ONLY ${table.name}`);
    }
  }

  async #say(client: pg.Client, sql: string): Promise<boolean> {
    const error = await attempt(client, sql);
    this.done.push(error === null ? sql : `-- ${error}: ${sql}`);
    return error !== null;
  }

  readonly #fresh = (letter: string): string => `${letter}${++this.#names}`;
}

async function tablesOf(client: pg.Client): Promise<Table[]> {
  try {
    const { rows } = await client.query(TABLES);
    return rows
      .map((row) => ({
        ...row,
        columns: (row.columns ?? []).map((column: Column) => ({ ...column, name: quoteIdentifier(column.name) })),
      }))
      .filter((table) => table.columns.length > 0);
  } catch (error) {
    if (EXPECTED.test((error as pg.DatabaseError).code ?? "")) return [];
    throw error;
  }
}

/** SQLSTATE and message when it failed; null when it did not. */
async function attempt(client: pg.Client, sql: string): Promise<string | null> {
  try {
    await client.query(sql);
    return null;
  } catch (error) {
    const { code = "", message } = error as pg.DatabaseError;
    if (!EXPECTED.test(code)) throw error;
    return `${code} ${message}`;
  }
}
