// The write-ahead log of a simulated Postgres: transactions in the order of their commits, as pgoutput would send them,
// and what the stream must hold of each.
import { formatLsn, type Lsn } from "../../../src/event/lsn.ts";
import type { PgoutputMessage, Relation, Tuple } from "../../../src/pgoutput/messages.ts";
import type { Random } from "../../torture/random.ts";
import { lsn } from "../../unit/event/tables.ts";
import { encodeMessage } from "../../unit/pgoutput/messages.ts";

export interface SimulatedTable {
  readonly oid: number;
  readonly name: string;
  readonly identity: "d" | "f";
  readonly publicationRel: number;
  /** False: the configuration leaves it out. */
  readonly captured: boolean;
}

export const TABLES: readonly SimulatedTable[] = [
  { oid: 1001, name: "a", identity: "d", publicationRel: 5001, captured: true },
  { oid: 1002, name: "b", identity: "f", publicationRel: 5002, captured: true },
  { oid: 1003, name: "x", identity: "d", publicationRel: 5003, captured: false },
];

export type Change =
  | {
      readonly kind: "insert" | "update" | "delete";
      readonly table: SimulatedTable;
      readonly id: number;
      readonly columns: number;
    }
  | {
      readonly kind: "move";
      readonly table: SimulatedTable;
      readonly id: number;
      readonly to: number;
      readonly columns: number;
    }
  | {
      readonly kind: "truncate";
      readonly tables: readonly { readonly table: SimulatedTable; readonly columns: number }[];
    }
  | { readonly kind: "message"; readonly prefix: "wanted" | "unwanted" };

export interface WalTransaction {
  readonly xid: number;
  readonly commitLsn: Lsn;
  readonly endLsn: Lsn;
  /** Microseconds since 2000. */
  readonly commitTime: bigint;
  readonly changes: readonly Change[];
  /** What the stream must hold of it, see `expectedEvents`. */
  readonly expected: readonly string[];
}

/** OIDs of pg_type.dat. */
const INT4 = 23;
const TEXT = 25;

/** `id`, `v` and columns that were added later. */
export function columnsOf(count: number): { name: string; typeOid: number; typmod: number }[] {
  return Array.from({ length: count }, (_, place) =>
    place === 0
      ? { name: "id", typeOid: INT4, typmod: -1 }
      : { name: place === 1 ? "v" : `v${place}`, typeOid: TEXT, typmod: -1 },
  );
}

function relation(table: SimulatedTable, columns: number): Relation {
  return {
    kind: "relation",
    oid: table.oid,
    schema: "public",
    table: table.name,
    identity: table.identity,
    columns: columnsOf(columns).map((column) => ({
      ...column,
      identity: table.identity === "f" || column.name === "id",
    })),
  };
}

const row = (id: number, columns: number, xid: number): Tuple =>
  Array.from({ length: columns }, (_, place) => (place === 0 ? String(id) : `${xid} v${place}`));
const keyOf = (id: number, columns: number): Tuple =>
  Array.from({ length: columns }, (_, place) => (place === 0 ? String(id) : null));

/** The messages of a transaction; `announced` remembers which shape of a relation this connection has got. */
export function* frames(transaction: WalTransaction, announced: Map<number, number>): Generator<Buffer> {
  const { xid, commitLsn, endLsn, commitTime } = transaction;
  yield encodeMessage({ kind: "begin", commitLsn, commitTime, xid });
  for (const change of transaction.changes) {
    for (const message of messagesOf(change, xid, announced)) {
      yield encodeMessage(message);
    }
  }
  yield encodeMessage({ kind: "commit", commitLsn, endLsn, commitTime });
}

function* announce(table: SimulatedTable, columns: number, announced: Map<number, number>): Generator<PgoutputMessage> {
  if (announced.get(table.oid) !== columns) {
    announced.set(table.oid, columns);
    yield relation(table, columns);
  }
}

function* messagesOf(change: Change, xid: number, announced: Map<number, number>): Generator<PgoutputMessage> {
  switch (change.kind) {
    case "message":
      yield { kind: "message", transactional: true, prefix: change.prefix, content: Buffer.from("c") };
      return;
    case "truncate":
      for (const { table, columns } of change.tables) {
        yield* announce(table, columns, announced);
      }
      yield {
        kind: "truncate",
        relations: change.tables.map(({ table }) => table.oid),
        cascade: false,
        restartIdentity: false,
      };
      return;
    default:
      break;
  }
  const { table, id, columns } = change;
  yield* announce(table, columns, announced);
  const isFull = table.identity === "f";
  const old = isFull
    ? ({ form: "whole", values: row(id, columns, xid) } as const)
    : ({ form: "key", values: keyOf(id, columns) } as const);
  switch (change.kind) {
    case "insert":
      yield { kind: "insert", relation: table.oid, new: row(id, columns, xid) };
      return;
    case "update":
      yield { kind: "update", relation: table.oid, old: isFull ? old : null, new: row(id, columns, xid) };
      return;
    case "move":
      yield { kind: "update", relation: table.oid, old, new: row(change.to, columns, xid) };
      return;
    case "delete":
      yield { kind: "delete", relation: table.oid, old };
      return;
    default:
      throw change satisfies never;
  }
}

/** What the stream must hold of a transaction: one line for each event, without its sequence. */
export function expectedEvents(
  xid: number,
  commitLsn: Lsn,
  changes: readonly Change[],
  publishesMessages: boolean,
): string[] {
  let index = 0;
  const kept: string[] = [];
  const event = (table: SimulatedTable, what: string) => {
    index++;
    if (table.captured) {
      kept.push(`${what} @${xid} ${formatLsn(commitLsn)} ${index}`);
    }
  };
  for (const change of changes) {
    switch (change.kind) {
      case "message":
        index++;
        if (publishesMessages && change.prefix === "wanted") {
          kept.push(`message ${change.prefix} @${xid} ${formatLsn(commitLsn)} ${index}`);
        }
        break;
      case "truncate":
        for (const { table } of change.tables) {
          event(table, `truncate ${table.name}`);
        }
        break;
      case "move":
        event(change.table, `delete ${change.table.name} ${change.id}`);
        event(change.table, `insert ${change.table.name} ${change.to} of ${change.columns}`);
        break;
      case "delete":
        event(change.table, `delete ${change.table.name} ${change.id}`);
        break;
      case "insert":
      case "update":
        event(change.table, `${change.kind} ${change.table.name} ${change.id} of ${change.columns}`);
        break;
      default:
        throw change satisfies never;
    }
  }
  return kept.map((text, place) => (place === kept.length - 1 ? `${text}!` : text));
}

/** Draws the changes of one transaction. `columns` is how many each table has now. */
export function drawChanges(random: Random, columns: ReadonlyMap<number, number>): Change[] {
  const size = random.pick([0, 1, 1, 1, 2, 3, 5, 30]);
  return Array.from({ length: size }, (): Change => {
    const table = random.pick(TABLES);
    const shape = { table, id: random.int(1, 20), columns: columns.get(table.oid)! };
    const kind = random.pick(["insert", "insert", "update", "delete", "move", "truncate", "message"] as const);
    switch (kind) {
      case "truncate":
        return {
          kind,
          tables: random
            .shuffle(TABLES)
            .slice(0, random.int(1, TABLES.length))
            .map((each) => ({ table: each, columns: columns.get(each.oid)! })),
        };
      case "message":
        return { kind, prefix: shape.id % 2 === 0 ? "wanted" : "unwanted" };
      case "move":
        return { kind, ...shape, to: shape.id + 100 };
      default:
        return { kind, ...shape };
    }
  });
}

/** Where a log begins. */
export const FIRST_LSN = lsn(0x1000);
