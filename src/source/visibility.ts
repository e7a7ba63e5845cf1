// Which of the stream's transactions a database snapshot sees.
//
// An event carries its transaction's commit LSN and 32-bit xid. With L, the insert position read just after the
// snapshot was taken:
//
// - A commit record at or above L was written after the snapshot: not seen.
// - One below L is seen, unless its transaction was still in progress: Postgres writes the commit record first (and
//   then may wait for a synchronous standby, for ever if it likes) and lets others see the transaction afterwards.
//   The snapshot names those: at or above xmax, or in its list.
//
// The snapshot's xids have 64 bits, an event's 32. An xid costs at least four bytes of WAL (as a subtransaction in its
// parent's commit record; alone it costs 40), so within 8 GiB of WAL before L fewer than 2^31 xids were given out, and
// the nearest 64-bit xid with the same lower half is the right one. An older commit counts as seen: it could only be
// unseen if it had waited for a standby while 8 GiB of WAL were written, and then its rows are reported as different,
// never passed over.
//
// Leaving out unseen transactions between seen ones doesn't change the order for any row: whoever writes a row, or a
// key, that another transaction has written waits for its row or index lock, and Postgres gives those up only after it
// has let others see the transaction. TRUNCATE holds its table lock as long.
// https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
import type { TransactionInfo } from "../event/change-event.ts";
import { type Lsn, parseLsn } from "../event/lsn.ts";

const NEAR = 8n * 1024n ** 3n;

export class Visibility {
  /** `pg_current_snapshot()` */
  readonly snapshot: string;
  readonly lsn: Lsn;
  readonly #xmax: bigint;
  readonly #inProgress: ReadonlySet<bigint>;
  #asked = "";
  #answer = false;

  constructor(snapshot: string, lsn: Lsn) {
    const [, xmax = "", list = ""] = snapshot.split(":");
    this.snapshot = snapshot;
    this.lsn = lsn;
    this.#xmax = BigInt(xmax);
    this.#inProgress = new Set(list.split(",").filter(Boolean).map(BigInt));
  }

  sees(transaction: Pick<TransactionInfo, "id" | "lsn">): boolean {
    const { id, lsn } = transaction;
    const asked = `${lsn} ${id}`;
    if (asked !== this.#asked) {
      this.#asked = asked;
      this.#answer = id === null || this.#sees(parseLsn(lsn), BigInt(id));
    }
    return this.#answer;
  }

  /** The same of a transaction that is at most 2^31 xids away, however much WAL lies between: none is waved through. */
  seesNear(xid: string, commitLsn: Lsn): boolean {
    return commitLsn < this.lsn && this.isOver(xid);
  }

  /** Whether the transaction was over, with or without a commit; it too is at most 2^31 xids away. */
  isOver(xid: string): boolean {
    return this.#isOver(BigInt(xid));
  }

  #sees(commitLsn: Lsn, xid: bigint): boolean {
    if (commitLsn >= this.lsn) {
      return false;
    }
    if (this.lsn - commitLsn >= NEAR) {
      return true;
    }
    return this.#isOver(xid);
  }

  #isOver(xid: bigint): boolean {
    const wide = this.#xmax + BigInt.asIntN(32, xid - this.#xmax);
    return wide < this.#xmax && !this.#inProgress.has(wide);
  }
}
