// Events one after the other, in the order of their sequence: transactions are whole, in commit order, and the two
// halves of a key change stand side by side.
import type { ChangeEvent, TransactionInfo, WireRow } from "../event/change-event.ts";
import { parseLsn } from "../event/lsn.ts";
import { placeOf } from "./event-check.ts";
import type { Findings } from "./finding.ts";
import type { StreamRecord } from "./partition-cursor.ts";

export class TransactionCheck {
  readonly #findings: Findings;
  #previous: StreamRecord | null = null;
  /** The epoch of each table's last event. */
  readonly #epochs = new Map<string, number>();
  transactions = 0;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** What comes next does not follow directly. */
  forget(): void {
    this.#previous = null;
  }

  check(record: StreamRecord): void {
    const previous = this.#previous;
    this.#previous = record;
    const { event } = record;
    if (event.transaction.last === true || event.transaction.index === 0) {
      this.transactions++;
    }
    this.#checkEpoch(record);
    if (previous !== null) {
      this.#checkOrder(previous.event, record);
      this.#checkKeyChange(previous, event);
    }
    if (event.operation === "insert" && event.previousKey !== undefined && !isFirstHalf(previous?.event)) {
      if (previous !== null) {
        this.#findings.add(
          "KEY_CHANGE_TORN",
          "It continues a row whose delete does not stand before it.",
          placeOf(record),
        );
      }
    }
  }

  /** The event that stands last must end its transaction, unless the progress record says that more is to come. */
  finish(complete: boolean): void {
    const last = this.#previous;
    if (last === null || last.event.transaction.index === 0) {
      return;
    }
    if ((last.event.transaction.last === true) !== complete) {
      const what = complete
        ? "The stream ends inside its transaction, though the progress record calls that complete."
        : "It ends its transaction, though the progress record says that more is to come.";
      this.#findings.add("TRANSACTION_TORN", what, placeOf(last));
    }
  }

  /** What an epoch lacks is said to each table before anything else of it. */
  #checkEpoch(record: StreamRecord): void {
    const { table, operation, transaction } = record.event;
    if (table === null) {
      return;
    }
    const before = this.#epochs.get(table);
    this.#epochs.set(table, transaction.epoch);
    if (before !== undefined && transaction.epoch > before && operation !== "gap") {
      const what = `Epoch ${transaction.epoch} begins in this table without a gap, after epoch ${before}.`;
      this.#findings.add("TRANSACTION_ORDER", what, placeOf(record));
    }
  }

  #checkOrder(before: ChangeEvent, record: StreamRecord): void {
    const now = record.event.transaction;
    const then = before.transaction;
    const place = placeOf(record);
    if (isSame(then, now) && now.index > 0) {
      if (then.last === true) {
        this.#findings.add("TRANSACTION_TORN", `Transaction ${now.id} goes on after its last event.`, place);
      }
      if (now.index <= then.index) {
        const what = `Index ${now.index} of transaction ${now.id} stands after ${then.index}.`;
        this.#findings.add("TRANSACTION_ORDER", what, place);
      }
      if (before.timestamp !== record.event.timestamp) {
        this.#findings.add("TRANSACTION_TORN", `Transaction ${now.id} has two commit times.`, place);
      }
      return;
    }
    // Of a transaction that an epoch ended in, the rest never comes; the gaps say so.
    if (then.last !== true && then.index > 0 && now.epoch <= then.epoch) {
      const what = `Transaction ${then.id} at ${then.lsn} has no last event before this one of transaction ${now.id}.`;
      this.#findings.add("TRANSACTION_TORN", what, place);
    }
    const inOrder = now.epoch === then.epoch ? parseLsn(now.lsn) > parseLsn(then.lsn) : now.epoch > then.epoch;
    if (!inOrder && now.index > 0 && then.index > 0) {
      const what = `Transaction ${now.id}, committed at ${now.lsn}, stands after one committed at ${then.lsn}.`;
      this.#findings.add("TRANSACTION_ORDER", what, place);
    }
  }

  #checkKeyChange(first: StreamRecord, next: ChangeEvent): void {
    if (first.event.operation !== "delete" || first.event.nextKey === undefined) {
      return;
    }
    const { key, nextKey, unchanged } = first.event;
    const fits =
      next.operation === "insert" &&
      isSame(first.event.transaction, next.transaction) &&
      next.table === first.event.table &&
      sameRow(next.previousKey, key) &&
      sameRow(nextKey, next.key) &&
      JSON.stringify(unchanged) === JSON.stringify(next.unchanged);
    if (!fits) {
      this.#findings.add(
        "KEY_CHANGE_TORN",
        "Its row goes on under another key, and that insert does not follow.",
        placeOf(first),
      );
    }
  }
}

const isFirstHalf = (event: ChangeEvent | undefined): boolean =>
  event?.operation === "delete" && event.nextKey !== undefined;

const isSame = (a: TransactionInfo, b: TransactionInfo): boolean =>
  a.lsn === b.lsn && a.id === b.id && a.epoch === b.epoch;

const sameRow = (a: WireRow | null | undefined, b: WireRow | null | undefined): boolean =>
  JSON.stringify(a) === JSON.stringify(b);
