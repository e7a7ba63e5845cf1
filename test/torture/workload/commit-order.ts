// The order of commits as a second logical slot tells it: of the audit's transactions, which are those of the captured
// tables. afterimage has nothing to do with slot and publication.
import type pg from "pg";
import type { SourceCommit } from "../evidence.ts";

const PUBLICATION = "torture_oracle";
/** Slots belong to the server: the database's name tells them apart. */
const SLOT = "left('torture_oracle_' || current_database(), 63)";

/**
 * Makes slot and publication, before the first row is written. The publication sends one column of the audit, which is
 * enough for pgoutput to send its transaction.
 */
export async function createCommitOrder(client: pg.Client): Promise<void> {
  await client.query(`CREATE PUBLICATION ${PUBLICATION} FOR TABLE public.audit (ordinal) WITH (publish = 'insert')`);
  await client.query(`SELECT pg_create_logical_replication_slot(${SLOT}, 'pgoutput')`);
}

/**
 * All commits so far, read without moving the slot: it can be asked again. Of each message only Begin is looked at.
 * https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */
export async function readCommitOrder(client: pg.Client): Promise<SourceCommit[]> {
  const { rows } = await client.query({
    text: `SELECT encode(data, 'hex') FROM pg_logical_slot_peek_binary_changes(${SLOT}, NULL, NULL,
             'proto_version', '1', 'publication_names', '${PUBLICATION}') WHERE get_byte(data, 0) = 66`,
    rowMode: "array",
  });
  return rows.map(([begin]) => ({
    // Begin: its letter, final LSN (8 bytes), time of the commit (8), xid (4).
    commitLsn: BigInt(`0x${begin.slice(2, 18)}`),
    timestamp: timestampOf(BigInt(`0x${begin.slice(18, 34)}`)),
    xid: String(Number.parseInt(begin.slice(34, 42), 16)),
  }));
}

/** Microseconds since 2000, of a commit that took place after it. */
function timestampOf(micros: bigint): string {
  const date = new Date(Date.UTC(2000, 0, 1) + Number(micros / 1000n));
  return `${date.toISOString().slice(0, -1)}${String(micros % 1000n).padStart(3, "0")}Z`;
}

export async function dropCommitOrder(client: pg.Client): Promise<void> {
  await client.query(`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = ${SLOT}`);
  await client.query(`DROP PUBLICATION IF EXISTS ${PUBLICATION}`);
}
