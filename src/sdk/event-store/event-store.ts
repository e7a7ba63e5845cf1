// An append-only log of events in Postgres: a version per stream, one gapless order over all.
import { quoteIdentifier } from "../../event/identifier.ts";
import { canonicalJson } from "../json/canonical.ts";
import {
  type BlockPool,
  openPool,
  type PostgresQueryable,
  type PostgresRow,
  type PostgresSource,
} from "../postgres/pool.ts";
import { DEFAULT_SCHEMA, lazily, setUpOnce } from "../postgres/setup.ts";
import { sqlStateOf } from "../postgres/sql-state.ts";
import { inTransaction, oneStatement, type PostgresTransaction } from "../postgres/transaction.ts";
import { Aggregate, type AggregateDefinition } from "./aggregate.ts";
import {
  EventConflict,
  type EventTypes,
  invalid,
  type NewEvent,
  type Place,
  requireCount,
  requireName,
  type StoredEvent,
} from "./events.ts";
import { CONFLICT, LAST_TABLE, tablesSql } from "./tables.ts";
import { type Upcasters, Upcasting } from "./upcasters.ts";

export interface EventStoreOptions {
  readonly postgres: PostgresSource;
  /** Where the tables are, made when they are missing; `afterimage` by default. */
  readonly schema?: string;
  readonly upcasters?: Upcasters;
}

export interface InTransaction {
  /** A read committed transaction on the same database, whose commit decides; without it the call is one by itself. */
  readonly tx?: PostgresQueryable;
}

export interface AppendOptions extends InTransaction {
  /** The stream's version that the decision rests on, 0 for a stream that must be new. Left out: whatever it is. */
  readonly expectedVersion?: number;
}

export interface ReadOptions extends InTransaction {
  /** Only what comes after it, itself not included; 0 by default. */
  readonly from?: number;
  /** At most so many; 1,000 by default. */
  readonly limit?: number;
}

const DEFAULT_LIMIT = 1000;
const LOOK_FIRST =
  "Read the stream: the events are there or they are not. Or append within `process` of an idempotency key, which may be called again.";

export class EventStore<E extends EventTypes = EventTypes> {
  readonly #pool: BlockPool;
  readonly #schema: string;
  readonly #upcasting: Upcasting;
  readonly #ready: () => Promise<void>;

  constructor({ postgres, schema = DEFAULT_SCHEMA, upcasters = {} }: EventStoreOptions) {
    this.#upcasting = new Upcasting(upcasters);
    this.#pool = openPool(postgres, "afterimage events");
    this.#schema = quoteIdentifier(schema);
    this.#ready = lazily(() => setUpOnce(this.#pool, schema, LAST_TABLE, tablesSql(schema)));
  }

  /**
   * Appends one event; it is durable when this resolves.
   * @throws EVENT_CONFLICT (an `EventConflict`) when the stream is at another version than expected: nothing is appended;
   *   VALUE_NOT_JSON, EVENT_INVALID; OUTCOME_UNKNOWN when the connection was lost at the commit
   */
  async append<T extends keyof E & string>(
    stream: string,
    type: T,
    data: E[T],
    options: AppendOptions = {},
  ): Promise<StoredEvent<E>> {
    const [stored] = await this.appendAll(stream, [{ type, data } as NewEvent<E>], options);
    return stored!;
  }

  /** Appends several events to one stream, all of them or none, with versions and positions that follow each other. */
  async appendAll(
    stream: string,
    events: readonly NewEvent<E>[],
    { expectedVersion, tx }: AppendOptions = {},
  ): Promise<StoredEvent<E>[]> {
    requireName(stream, "A stream's name");
    const expected = expectedVersion === undefined ? null : requireCount(expectedVersion, "expectedVersion");
    if (events.length === 0) {
      throw invalid("There is no event to append.");
    }
    const datas = events.map(({ type, data }) =>
      canonicalJson(data, `The data of ${requireName(type, "An event's type")}`),
    );
    const types = events.map(({ type }) => type);
    const versions = types.map((type) => this.#upcasting.currentVersion(type));
    await this.#ready();
    const text = `SELECT position::text, version::text, ${timeText} FROM ${this.#schema}.append_events($1, $2, $3, $4, $5)`;
    const values = [stream, expected, types, versions, datas];
    const appending = tx === undefined ? oneStatement(this.#pool, text, values, LOOK_FIRST) : tx.query(text, values);
    const { rows } = await appending.catch((cause: unknown) => {
      throw sqlStateOf(cause) === CONFLICT
        ? new EventConflict(stream, expected!, Number((cause as { detail?: string }).detail))
        : cause;
    });
    return rows.map((row, at) => ({
      stream,
      type: types[at]!,
      data: JSON.parse(datas[at]!),
      ...placeOf(row),
    })) as StoredEvent<E>[];
  }

  /** The stream's events after version `from`, in order. A stream that nobody has written to has none. */
  async read(stream: string, { from = 0, limit = DEFAULT_LIMIT, tx }: ReadOptions = {}): Promise<StoredEvent<E>[]> {
    requireName(stream, "A stream's name");
    return this.#select("stream = $1 AND version > $2 ORDER BY e.version LIMIT $3", tx, [
      stream,
      requireCount(from, "from"),
      requireCount(limit, "limit"),
    ]);
  }

  /**
   * The events of all streams after position `from`, in the order of commits. Without gaps: when position 8 can be read, 1
   * to 7 can be, and nothing is ever added among them.
   */
  async readAll({ from = 0, limit = DEFAULT_LIMIT, tx }: ReadOptions = {}): Promise<StoredEvent<E>[]> {
    return this.#select("position > $1 ORDER BY e.position LIMIT $2", tx, [
      requireCount(from, "from"),
      requireCount(limit, "limit"),
    ]);
  }

  /** What the events of a stream amount to; see `Aggregate.load`. */
  aggregate<State>(definition: AggregateDefinition<State, E>): Aggregate<State, E> {
    return new Aggregate(this, `${this.#schema}.`, definition, async (text, values, tx) => {
      await this.#ready();
      return tx === undefined ? oneStatement(this.#pool, text, values, null) : tx.query(text, values);
    });
  }

  /**
   * Runs `work` in a transaction: appends to several streams that are given its `tx`, and other statements, are committed
   * together or not at all. Other appends wait from the first of these to the commit.
   * @throws OUTCOME_UNKNOWN when the connection was lost at the commit
   */
  async transaction<T>(work: (tx: PostgresTransaction) => Promise<T>): Promise<T> {
    await this.#ready();
    return inTransaction(this.#pool, LOOK_FIRST, work);
  }

  /** Closes the connections, if they were opened by the store. */
  close(): Promise<void> {
    return this.#pool.close();
  }

  async #select(where: string, tx: PostgresQueryable | undefined, values: unknown[]): Promise<StoredEvent<E>[]> {
    await this.#ready();
    // What is sorted by needs its table's name: the bare one would be the text.
    const text = `SELECT position::text, stream, version::text, type, type_version::text, data::text, ${timeText}
      FROM ${this.#schema}.events e WHERE ${where}`;
    const { rows } = await (tx === undefined ? oneStatement(this.#pool, text, values, null) : tx.query(text, values));
    return rows.map((row) => ({
      stream: row.stream,
      type: row.type,
      data: this.#upcasting.upcast(row.type, Number(row.type_version), JSON.parse(row.data)),
      ...placeOf(row),
    })) as StoredEvent<E>[];
  }
}

/** ISO 8601 whatever the session's DateStyle and time zone. */
const timeText = `to_char("time" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "time"`;

function placeOf(row: PostgresRow): Omit<Place, "stream"> {
  return { version: Number(row.version), position: Number(row.position), time: row.time };
}
