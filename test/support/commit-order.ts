// The commits of a database in the order of its WAL, from a slot of the test's own: read by SQL, without src/source.
import type pg from "pg";
import { unique } from "./database.ts";

export interface SourceTransaction {
  /** As pgoutput has it: 32 bits. */
  readonly xid: number;
  readonly commitLsn: bigint;
  readonly rows: number;
}

export class OrderSlot {
  readonly #client: pg.Client;
  readonly #slot: string;
  readonly #publication: string;

  private constructor(client: pg.Client, slot: string, publication: string) {
    this.#client = client;
    this.#slot = slot;
    this.#publication = publication;
  }

  /** It goes with the database: `TestDatabase.drop` drops its slots. */
  static async create(client: pg.Client, publication: string): Promise<OrderSlot> {
    const slot = unique("order");
    await client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [slot]);
    return new OrderSlot(client, slot, publication);
  }

  /** The transactions that were committed since it was made or last asked. */
  async take(): Promise<SourceTransaction[]> {
    const { rows } = await this.#client.query<{ data: Buffer }>(
      "SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', $2)",
      [this.#slot, this.#publication],
    );
    const transactions: { xid: number; commitLsn: bigint; rows: number }[] = [];
    for (const { data } of rows) {
      const kind = String.fromCharCode(data[0]!);
      // https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html (Begin)
      if (kind === "B") {
        transactions.push({ commitLsn: data.readBigUInt64BE(1), xid: data.readUInt32BE(17), rows: 0 });
      } else if (kind === "I" || kind === "U" || kind === "D") {
        transactions.at(-1)!.rows++;
      }
    }
    return transactions;
  }
}

/** `xid lsn` of those with rows, as events name them. */
export function commitOrder(transactions: readonly SourceTransaction[]): string[] {
  return transactions
    .filter(({ rows }) => rows > 0)
    .map(({ xid, commitLsn }) => {
      const [high, low] = [commitLsn >> 32n, commitLsn & 0xffff_ffffn];
      return `${xid} ${high.toString(16).toUpperCase()}/${low.toString(16).toUpperCase()}`;
    });
}
