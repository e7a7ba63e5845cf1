// What users register for a table, and the call of the right handler for an event.
import { AfterimageError } from "../../errors.ts";
import {
  type BarrierEvent,
  type ChangeEvent,
  emptiesTable,
  type GapEvent,
  givesUpSnapshot,
  opensSnapshot,
  type RowEvent,
  type SweepEvent,
} from "../../event/change-event.ts";
import type { RowTypes, WireTypes } from "../values/table-types.ts";
import { guardAbsent } from "./absent.ts";

export interface HandlerContext<Tx, Event = ChangeEvent> {
  /** Writes that commit together with the position, or not at all. */
  readonly tx: Tx;
  /** The event as it came. */
  readonly event: Event;
}

/** Handlers may be async; the transaction waits for them. What they return is ignored. */
export interface TableHandlers<Tx, T extends RowTypes = WireTypes> {
  /** A row is new or has changed (insert, update, read). Reading an unchanged column throws COLUMN_UNCHANGED. */
  upsert(row: T["row"], context: HandlerContext<Tx, RowEventOf<T>>): unknown;
  /** The row with this key is gone (delete). */
  remove(key: T["key"], context: HandlerContext<Tx, RowEventOf<T>>): unknown;
  /**
   * All rows are gone (truncate), or follow anew: at the gap that opens the snapshot of a table without a key. Called
   * once for all partitions.
   */
  clear(context: HandlerContext<Tx, BarrierEvent>): unknown;
  /**
   * Something is missing from the stream from here on. Without this handler the consumer stops at a gap, unless a
   * snapshot answers it (`opensSnapshot`), or it ends one that was given up (`givesUpSnapshot`): then it goes on. Rows
   * that such a snapshot did not read stay unknown, and an event that leaves values of one out stops the consumer.
   */
  gap?(event: GapEvent, context: HandlerContext<Tx, GapEvent>): unknown;
  /**
   * A snapshot of the table ends: rows whose last event is below `event.since` are gone; `tx.sweep` deletes them. Without
   * this handler the consumer stops here, unless the view held no row before that gap.
   */
  sweep?(event: SweepEvent, context: HandlerContext<Tx, SweepEvent>): unknown;
}

type RowEventOf<T extends RowTypes> = RowEvent<T["row"], T["key"], T["old"]>;
type EventOf<T extends RowTypes> = ChangeEvent<T["row"], T["key"], T["old"]>;

/** Gets every event of a table as it is; a barrier once for all partitions. */
export type EventHandler<Tx, T extends RowTypes = WireTypes> = (
  event: EventOf<T>,
  context: HandlerContext<Tx, EventOf<T>>,
) => unknown;

export type Registration<Tx, T extends RowTypes = WireTypes> = TableHandlers<Tx, T> | EventHandler<Tx, T>;

/** Refuses a registration that would have to skip events. */
export function checkRegistration(table: string, registration: unknown): void {
  if (typeof registration === "function") {
    return;
  }
  const handlers = (registration ?? {}) as Partial<Record<string, unknown>>;
  const missing = ["upsert", "remove", "clear"].filter((name) => typeof handlers[name] !== "function");
  if (missing.length > 0) {
    throw new AfterimageError(
      "HANDLER_MISSING",
      `The registration of ${table} has no ${missing.join(", no ")}.`,
      "Give upsert, remove and clear, or one function (event, ctx) that gets every event.",
    );
  }
}

/**
 * Calls the handler of an event; gives what it returned, a promise perhaps. `leftovers`: whether the view may hold rows
 * that a sweep has to remove.
 */
export function dispatch<Tx>(registration: Registration<Tx>, event: ChangeEvent, tx: Tx, leftovers: boolean): unknown {
  if (typeof registration === "function") {
    return registration(event, { tx, event });
  }
  switch (event.operation) {
    case "insert":
    case "update":
      return registration.upsert(guardAbsent(event.after, event.unchanged), { tx, event });
    case "read":
      return registration.upsert(event.after, { tx, event });
    case "delete":
      if (event.key === null) {
        throw new AfterimageError(
          "TABLE_KEYLESS",
          `${event.table} has no key, so a deleted row can't be named.`,
          "Give the table a primary key, or register one function (event, ctx) that gets every event.",
        );
      }
      return registration.remove(event.key, { tx, event });
    case "truncate":
      return registration.clear({ tx, event });
    case "gap":
      if (emptiesTable(event)) {
        return afterClear(registration.clear({ tx, event }), () => registration.gap?.(event, { tx, event }));
      }
      if (registration.gap === undefined) {
        if (opensSnapshot(event) || givesUpSnapshot(event)) {
          return undefined;
        }
        throw new AfterimageError(
          "GAP_REACHED",
          `The stream announces a gap: changes of ${event.table} are missing from it.`,
          "Rebuild the view from a fresh snapshot, or register a `gap` handler that decides what the view does.",
        );
      }
      return registration.gap(event, { tx, event });
    case "sweep":
      if (registration.sweep === undefined) {
        if (!leftovers) {
          return undefined;
        }
        throw new AfterimageError(
          "SWEEP_REACHED",
          `A snapshot of ${event.table} ends here: rows that it did not meet are gone.`,
          "Register a `sweep` handler that deletes them: sweep: (_, { tx }) => tx.sweep(TABLE OF THE VIEW). Or remove the view's file, so that it is built again.",
        );
      }
      return registration.sweep(event, { tx, event });
    case "message":
      throw new AfterimageError(
        "ENVELOPE_INVALID",
        "A logical decoding message stands in the topic of a table.",
        "Only afterimage may write to the stream's topics; find the other writer and rebuild the stream.",
      );
    default:
      throw event satisfies never;
  }
}

function afterClear(cleared: unknown, then: () => unknown): unknown {
  const later = (cleared as PromiseLike<unknown> | null | undefined)?.then;
  return typeof later === "function" ? Promise.resolve(cleared).then(then) : then();
}
