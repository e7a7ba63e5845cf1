// What the events of one stream amount to, now or at an earlier moment, with snapshots that save reading all of them.
import { AfterimageError } from "../../errors.ts";
import { canonicalJson } from "../json/canonical.ts";
import type { PostgresQueryable, PostgresRow } from "../postgres/pool.ts";
import type { EventStore } from "./event-store.ts";
import { type EventTypes, invalid, requireCount, requireName, type StoredEvent } from "./events.ts";

export interface AggregateDefinition<State, E extends EventTypes> {
  /** Of the kind of thing, for its snapshots: `account`. */
  readonly name: string;
  /** Raise it whenever `initial`, `apply` or an upcaster changes: snapshots of other versions are not used. 1 by default. */
  readonly version?: number;
  /** Of a stream without events. JSON. */
  readonly initial: State;
  /** The state after an event; depends on its arguments alone. May change the state it is given, and gives it back. */
  readonly apply: (state: State, event: StoredEvent<E>) => State;
  /** A load that read at least so many events stores a snapshot; 100 by default, 0 for never. */
  readonly snapshotEvery?: number;
}

export interface LoadOptions {
  /** The state right after this version of the stream. */
  readonly version?: number;
  /** The state after all events that were appended up to then, that moment included. As text: ISO 8601 with a time zone. */
  readonly time?: string | Date;
  /** Reads within this transaction, and stores no snapshot. */
  readonly tx?: PostgresQueryable;
}

export interface Loaded<State> {
  readonly state: State;
  /** Of the stream, to be given as `expectedVersion`; 0 without events. */
  readonly version: number;
}

type Ask = (text: string, values: unknown[], tx?: PostgresQueryable) => Promise<{ rows: PostgresRow[] }>;

const PAGE = 1000;
const DEFAULT_SNAPSHOT_EVERY = 100;
const TIME = /^\d{4,}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}(:?\d{2})?)$/;

export class Aggregate<State, E extends EventTypes> {
  readonly #store: EventStore<E>;
  readonly #tables: string;
  readonly #definition: Required<AggregateDefinition<State, E>>;
  readonly #ask: Ask;

  /** @internal Made by `EventStore.aggregate`. @param tables the schema, quoted and with a dot */
  constructor(store: EventStore<E>, tables: string, definition: AggregateDefinition<State, E>, ask: Ask) {
    this.#store = store;
    this.#tables = tables;
    this.#ask = ask;
    this.#definition = { version: 1, snapshotEvery: DEFAULT_SNAPSHOT_EVERY, ...definition };
    requireName(definition.name, "An aggregate's name");
    requireCount(this.#definition.version, "An aggregate's version");
    requireCount(this.#definition.snapshotEvery, "snapshotEvery");
    canonicalJson(definition.initial, `The initial state of ${definition.name}`);
  }

  /**
   * Rebuilds the state from the stream's own events and nothing else: from the last snapshot that is not too new, and the
   * events after it.
   * @throws STREAM_VERSION_MISSING when the stream has not come to `version`
   */
  async load(stream: string, { version, time, tx }: LoadOptions = {}): Promise<Loaded<State>> {
    requireName(stream, "A stream's name");
    const until = await this.#until(stream, version, time, tx);
    const { initial, apply, snapshotEvery } = this.#definition;
    const snapshot = await this.#snapshot(stream, until, tx);
    let { state, version: at } = snapshot ?? { state: structuredClone(initial), version: 0 };
    const from = at;
    while (at < until) {
      const limit = Math.min(PAGE, until - at);
      const events = await this.#store.read(stream, { from: at, limit, ...(tx && { tx }) });
      for (const event of events) {
        state = apply(state, event);
        at = event.version;
      }
      if (events.length < limit) {
        break;
      }
    }
    if (version !== undefined && at < version) {
      throw new AfterimageError(
        "STREAM_VERSION_MISSING",
        `Stream ${stream} is at version ${at}: it has not come to ${version}.`,
        "Ask for a version that it has had.",
      );
    }
    if (tx === undefined && snapshotEvery > 0 && at - from >= snapshotEvery) {
      await this.#keep(stream, at, state);
    }
    return { state, version: at };
  }

  /** Up to which version to read, that one included. */
  async #until(stream: string, version?: number, time?: string | Date, tx?: PostgresQueryable): Promise<number> {
    if (version !== undefined && time !== undefined) {
      throw invalid("load takes a version or a time, not both.");
    }
    if (time === undefined) {
      return version === undefined ? Number.MAX_SAFE_INTEGER : requireCount(version, "version");
    }
    const moment = time instanceof Date && !Number.isNaN(time.getTime()) ? time.toISOString() : time;
    if (typeof moment !== "string" || !TIME.test(moment)) {
      throw invalid("time is a Date, or text such as 2026-11-22T18:00:00.123456Z.");
    }
    // Times never go back from one position to the next.
    const { rows } = await this.#ask(
      `SELECT COALESCE(max(version), 0)::text AS version FROM ${this.#tables}events WHERE stream = $1 AND "time" <= $2::timestamptz`,
      [stream, moment],
      tx,
    );
    return Number(rows[0]!.version);
  }

  async #snapshot(stream: string, until: number, tx?: PostgresQueryable): Promise<Loaded<State> | null> {
    const { name, version } = this.#definition;
    const { rows } = await this.#ask(
      `SELECT version::text, state::text FROM ${this.#tables}event_snapshots s
        WHERE stream = $1 AND aggregate = $2 AND aggregate_version = $3 AND version <= $4 ORDER BY s.version DESC LIMIT 1`,
      [stream, name, version, until],
      tx,
    );
    return rows.length === 0 ? null : { state: JSON.parse(rows[0]!.state), version: Number(rows[0]!.version) };
  }

  async #keep(stream: string, at: number, state: State): Promise<void> {
    const { name, version } = this.#definition;
    await this.#ask(`INSERT INTO ${this.#tables}event_snapshots VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`, [
      stream,
      name,
      version,
      at,
      canonicalJson(state, `The state of ${name}`),
    ]);
  }
}
