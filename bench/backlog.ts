// A backlog behind two slots of one publication: the daemon drains one of them, pg_recvlogical the other.
import { createDatabase, type OwnDatabase } from "../dev/servers/database.ts";

export interface Backlog {
  readonly url: string;
  /** Name of the daemon's publication, and of the slot that pg_recvlogical drains. */
  readonly publication: string;
  readonly peerSlot: string;
  /**
   * Inserts the rows, each transaction of `perTransaction`; or, with `updates`, changes as many of those that are there.
   * Resolves with the WAL position behind them.
   */
  load(rows: number, perTransaction: number, updates: boolean): Promise<string>;
  drop(): Promise<void>;
}

export const STREAM = "bench";
export const TABLE_NAME = "public.orders";
const PUBLICATION = `afterimage_${STREAM}`;

const TABLE = `
  CREATE TABLE public.orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int NOT NULL, status text, amount numeric(12,2),
    note text, updated_at timestamptz DEFAULT now())`;

const INSERT = `
  INSERT INTO public.orders (customer, status, amount, note)
  SELECT g % 1000, 'pending', (g % 10000) / 100.0, 'note number ' || g || repeat('x', 60) FROM generate_series(1, $1::int) g`;

/** Rows all over the table; a prime step brings none up twice before all were. */
const UPDATE = `
  UPDATE public.orders SET status = status || 'x', updated_at = now()
   WHERE id IN (SELECT 1 + ((g + $2::bigint) * 7919) % $3::bigint FROM generate_series(1, $1::int) g)`;

/** `serverUrl`: a superuser's. The daemon makes publication and slot of its own at its first start. */
export async function makeBacklog(serverUrl: string): Promise<Backlog> {
  const database: OwnDatabase = await createDatabase(serverUrl, "afterimage_bench");
  const { client } = database;
  const peerSlot = `${database.name}_peer`;
  await client.query(TABLE);
  await client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [peerSlot]);
  return {
    url: database.url,
    publication: PUBLICATION,
    peerSlot,
    async load(rows, perTransaction, updates) {
      for (let done = 0; done < rows; done += perTransaction) {
        const count = Math.min(perTransaction, rows - done);
        await (updates ? client.query(UPDATE, [count, done, rows]) : client.query(INSERT, [count]));
      }
      // One now, so that none falls into the measurement.
      await client.query("CHECKPOINT");
      const { rows: answer } = await client.query("SELECT pg_current_wal_insert_lsn()::text AS lsn");
      return String(answer[0].lsn);
    },
    drop: () => database.drop(),
  };
}
