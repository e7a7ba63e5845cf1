// Registers in Postgres that behave as if there were one copy of each, and one operation at a time.
import { AfterimageError } from "../../errors.ts";
import { quoteIdentifier } from "../../event/identifier.ts";
import { canonicalJson, type Json } from "../json/canonical.ts";
import {
  type BlockPool,
  openPool,
  type PostgresQueryable,
  type PostgresRow,
  type PostgresSource,
  retryRolledBack,
} from "../postgres/pool.ts";
import { DEFAULT_SCHEMA, lazily, setUpOnce } from "../postgres/setup.ts";
import { sqlStateOf } from "../postgres/sql-state.ts";
import { inTransaction, oneStatement } from "../postgres/transaction.ts";
import { acquireLease, type Lease, type LeaseOptions, leasesTable } from "./lease.ts";
import { requireKey } from "./names.ts";

export interface LinearizableStoreOptions {
  readonly postgres: PostgresSource;
  /** Where the tables are, made when they are missing; `afterimage` by default. */
  readonly schema?: string;
}

export interface WriteOptions {
  /** Refuses the write with LEASE_LOST once the lease has been given to somebody else. */
  readonly lease?: Lease;
}

type Answer = { rows: PostgresRow[]; rowCount: number | null };

const READ_FIRST =
  "Read the register: it holds the new value or it does not. Writing again unasked could undo what came later.";

/** Which server answers. */
const SERVER = `
  pg_is_in_recovery() AS standby,
  CASE WHEN NOT pg_is_in_recovery() THEN substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END AS timeline`;

// A commit that waits for a synchronous standby is shown when the wait is cut short, by the end of its session or of the server,
// and could be gone after a failover. So whoever has seen something writes a few bytes of WAL behind it, whose commit waits too.
const CONFIRMED = `
  ${SERVER},
  CASE WHEN NOT pg_is_in_recovery() AND current_setting('synchronous_standby_names') <> ''
    THEN pg_logical_emit_message(true, 'afterimage.confirm', '')::text END AS confirmed`;

export class LinearizableStore {
  readonly #pool: BlockPool;
  readonly #schema: string;
  readonly #registers: string;
  readonly #ready: () => Promise<void>;
  /** The highest timeline that answered: hexadecimal, of fixed length. */
  #timeline = "";

  constructor({ postgres, schema = DEFAULT_SCHEMA }: LinearizableStoreOptions) {
    this.#pool = openPool(postgres, "afterimage registers");
    this.#schema = quoteIdentifier(schema);
    this.#registers = `${this.#schema}.registers`;
    const tables = `
      ${leasesTable(this.#schema)}
      CREATE TABLE ${this.#registers} (key text COLLATE "C" PRIMARY KEY, value text COLLATE "C" NOT NULL);`;
    this.#ready = lazily(() => setUpOnce(this.#pool, schema, "registers", tables));
  }

  /** The value; null when there is none. @throws SERVER_NOT_PRIMARY, POSTGRES_UNREACHABLE */
  async read(key: string): Promise<Json> {
    const select = `SELECT (SELECT value FROM ${this.#registers} WHERE key = $1) AS value, ${CONFIRMED}`;
    const { rows } = await this.#ask(select, [requireKey(key)], true);
    return rows[0]!.value === null ? null : JSON.parse(rows[0]!.value);
  }

  /**
   * Sets the value; null removes it.
   * @throws OUTCOME_UNKNOWN when the connection was lost on the way; LEASE_LOST, VALUE_NOT_JSON, SERVER_NOT_PRIMARY
   */
  async write(key: string, value: Json, { lease }: WriteOptions = {}): Promise<void> {
    const [name, text] = [requireKey(key), textOf(value)];
    if (text === null) {
      const { rowCount } = await this.#ask(`DELETE FROM ${this.#registers} WHERE key = $1`, [name], false, lease);
      if (rowCount === 0) {
        await this.#confirm(); // that there was none was seen
      }
    } else {
      const upsert = `INSERT INTO ${this.#registers} AS r VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value`;
      await this.#ask(upsert, [name, text], false, lease);
    }
  }

  /**
   * Sets the value if it is equal to `expected`, and says whether it was. `expected` null: if there is none; `value` null
   * removes. Equal are objects whatever the order of their members, arrays by order, numbers as IEEE doubles, strings by code
   * units.
   * @throws as `write`
   */
  async compareAndSet(key: string, expected: Json, value: Json, { lease }: WriteOptions = {}): Promise<boolean> {
    const [name, from, to] = [requireKey(key), textOf(expected), textOf(value)];
    let changed: Answer;
    if (from === null && to === null) {
      if (lease !== undefined) {
        await inTransaction(this.#pool, READ_FIRST, (tx) => lease.guard(tx));
      }
      return (await this.read(name)) === null;
    }
    if (from === null) {
      const insert = `INSERT INTO ${this.#registers} VALUES ($1, $2) ON CONFLICT (key) DO NOTHING`;
      changed = await this.#ask(insert, [name, to], false, lease);
    } else if (to === null) {
      const remove = `DELETE FROM ${this.#registers} WHERE key = $1 AND value = $2`;
      changed = await this.#ask(remove, [name, from], false, lease);
    } else {
      const update = `UPDATE ${this.#registers} SET value = $3 WHERE key = $1 AND value = $2`;
      changed = await this.#ask(update, [name, from, to], false, lease);
    }
    if (changed.rowCount === 1) {
      return true;
    }
    await this.#confirm(); // another value was seen
    return false;
  }

  /**
   * Takes the lease of that name for so many seconds, if nobody has it; null if somebody does. Each time it is given it has a
   * higher token.
   */
  async acquireLease(name: string, options: LeaseOptions): Promise<Lease | null> {
    await this.#ready();
    const ask = (text: string, values: unknown[]) =>
      retryRolledBack(() =>
        oneStatement(
          this.#pool,
          text,
          values,
          "Whoever may have got the lease loses it when its time is over. Ask again.",
        ),
      );
    const lease = await acquireLease(ask, `${this.#schema}.leases`, requireKey(name), options);
    await this.#confirm();
    return lease;
  }

  /** Closes the connections, if they were opened by the store. */
  close(): Promise<void> {
    return this.#pool.close();
  }

  /** `confirms` when the statement itself selects CONFIRMED; what changes a row is confirmed by its own commit. */
  async #ask(text: string, values: unknown[], confirms: boolean, lease?: Lease): Promise<Answer> {
    await this.#ready();
    const statement = confirms ? text : `${text} RETURNING ${SERVER}`;
    // Postgres has rolled back as a whole what is retried here, so it is still one operation.
    const answer = await retryRolledBack(() =>
      lease === undefined
        ? oneStatement(this.#pool, statement, values, confirms ? null : READ_FIRST)
        : inTransaction(this.#pool, READ_FIRST, async (tx: PostgresQueryable) => {
            await lease.guard(tx);
            return tx.query(statement, values);
          }),
    ).catch((cause: unknown) => {
      throw ON_STANDBY.has(sqlStateOf(cause) ?? "") ? notPrimary(true, cause) : cause;
    });
    if (answer.rows.length > 0) {
      this.#requirePrimary(answer.rows[0]!);
    }
    return answer;
  }

  async #confirm(): Promise<void> {
    await this.#ask(`SELECT ${CONFIRMED}`, [], true);
  }

  #requirePrimary({ standby, timeline }: PostgresRow): void {
    if (standby === true || timeline < this.#timeline) {
      throw notPrimary(standby === true);
    }
    this.#timeline = timeline;
  }
}

/** read_only_sql_transaction; and feature_not_supported, of a transaction that wants to write. */
const ON_STANDBY = new Set(["25006", "0A000"]);

const notPrimary = (isStandby: boolean, cause?: unknown): AfterimageError =>
  new AfterimageError(
    "SERVER_NOT_PRIMARY",
    isStandby
      ? "The server that answered is a standby: what it holds may be old."
      : "The server that answered was replaced: another one has been promoted since, and answered before.",
    "Let the address lead to the primary alone, and shut a primary off before another server is promoted.",
    { cause },
  );

const textOf = (value: Json): string | null =>
  value === null ? null : canonicalJson(value, "The value of a register");
