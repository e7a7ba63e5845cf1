// Views of the bank, built from its events as they come through a stream. Each may be added at any time: it begins at the
// first event.
import type { SqliteTransaction, TableHandlers } from "../../sdk/index.ts";
import { type AccountEvents, SIGN } from "./account.ts";

/** The event store's table, as a stream names it. */
export const EVENTS_TABLE = "afterimage.events";

export interface Projection {
  readonly setup: string;
  readonly handlers: TableHandlers<SqliteTransaction>;
}

/**
 * Events have their position as key, so those of an account come over several partitions, some events apart. That does no
 * harm here: each is a row of its own, and what is asked for adds rows up or sorts them.
 */
function entries(columns: string, view: string, row: (event: Booked) => Record<string, string | number>): Projection {
  return {
    setup: `CREATE TABLE entries (position INTEGER PRIMARY KEY, ${columns}) STRICT; ${view}`,
    handlers: {
      upsert: (event, { tx }) => {
        const data = JSON.parse(String(event.data)) as AccountEvents[keyof AccountEvents];
        const type = String(event.type) as keyof AccountEvents;
        const account = String(event.stream).replace(/^account-/, "");
        const booked = { account, time: String(event.time), change: SIGN[type] * data.cents };
        tx.upsert("entries", { position: Number(event.position), ...row(booked) });
      },
      // The store is append-only; whoever takes events away all the same makes the view wrong.
      remove: () => {
        throw new Error("An event was deleted.");
      },
      clear: ({ tx }) => tx.clear("entries"),
      sweep: (_event, { tx }) => tx.sweep("entries"),
    },
  };
}

interface Booked {
  readonly account: string;
  readonly time: string;
  readonly change: number;
}

/** `balances(account, cents)` */
export const BALANCES = entries(
  "account TEXT NOT NULL, change INTEGER NOT NULL",
  "CREATE VIEW balances AS SELECT account, sum(change) AS cents FROM entries GROUP BY account",
  ({ account, change }) => ({ account, change }),
);

/** `turnover(day, paid_in, paid_out)`, days in UTC: a question that came up when the bank had run for a while. */
export const TURNOVER = entries(
  "day TEXT NOT NULL, change INTEGER NOT NULL",
  `CREATE VIEW turnover AS SELECT day,
     sum(max(change, 0)) AS paid_in, sum(max(-change, 0)) AS paid_out FROM entries GROUP BY day`,
  ({ time, change }) => ({ day: time.slice(0, 10), change }),
);
