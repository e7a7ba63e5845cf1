// Gives every event its position and its sequence, and drops what is already published. Pure: the same messages give
// the same events after every restart.
import type { AfterimageError } from "../errors.ts";
import type { EnvelopeTransaction } from "../event/envelope.ts";
import { formatLsn, type Lsn } from "../event/lsn.ts";
import type { LastTransaction } from "../event/progress.ts";
import { malformed } from "../pgoutput/byte-reader.ts";
import type { Begin, Commit, Delete, Insert, Message, Truncate, Update } from "../pgoutput/messages.ts";
import type { CapturedEvent, CapturedPlace, MessageWhat, TableWhat } from "./captured-event.ts";
import type { MessageRoute } from "./captured-table.ts";
import { formatCommitTime } from "./commit-time.ts";
import { MessageCount } from "./message-count.ts";
import { positionNotFound } from "./position-not-found.ts";
import type { RelationCache, Resolution } from "./relation-cache.ts";
import { rowChanges } from "./row-images.ts";

/** What has been published, as the progress record says. */
export interface ResumePoint {
  readonly epoch: number;
  readonly sequence: number;
  readonly completeSequence: number;
  readonly endLsn: Lsn;
  readonly last: LastTransaction | null;
  /** The slot's confirmed_flush_lsn when streaming began: what ends below it is not sent again. */
  readonly confirmedFlushLsn: Lsn;
}

export interface SequencerOutput {
  event(event: CapturedEvent): void;
  /** All kept events of the transaction have been handed over. */
  committed(transaction: LastTransaction, endLsn: Lsn): void;
  /** Everything that ends at or below it has been handed over; nothing of it was an event. */
  advanced(lsn: Lsn): void;
}

interface OpenTransaction extends EnvelopeTransaction {
  /** Events up to this index are already published; Infinity when all are. */
  readonly publishedIndex: number;
  readonly messages: MessageCount;
}

type Held = Omit<CapturedPlace, "last"> & (TableWhat | MessageWhat);

export class Sequencer {
  readonly #relations: RelationCache;
  readonly #output: SequencerOutput;
  readonly #messages: MessageRoute | null;
  readonly #from: ResumePoint;
  #sequence: number;
  #index = 0;
  #open: OpenTransaction | null = null;
  /** An event of the open transaction was kept. */
  #hasKept = false;
  /** One event of look-ahead: whether it is the last one is known at the next event or at Commit. */
  #held: Held | null = null;
  /** The commit that must be delivered again before anything later; null once it was, or when none must. */
  #expected: LastTransaction | null;
  /** The rest of a transaction that is published in part has not come yet. */
  #resuming: boolean;

  /** `messages`: null where they are counted alone. */
  constructor(from: ResumePoint, relations: RelationCache, messages: MessageRoute | null, output: SequencerOutput) {
    this.#from = from;
    this.#relations = relations;
    this.#output = output;
    this.#messages = messages;
    this.#sequence = from.sequence;
    this.#resuming = from.last !== null && !from.last.complete;
    this.#expected = from.last !== null && from.last.commitLsn >= from.confirmedFlushLsn ? from.last : null;
  }

  /** Whether a transaction has begun and not ended. */
  get inTransaction(): boolean {
    return this.#open !== null;
  }

  /** False until the server has delivered the commit that was published last: nothing may be confirmed before. */
  get positionFound(): boolean {
    return this.#expected === null;
  }

  /** Whether rows of the open transaction are looked at; those of a transaction that is published whole are not. */
  get wantsRows(): boolean {
    return this.#open !== null && this.#open.publishedIndex !== Number.POSITIVE_INFINITY;
  }

  /**
   * Whether an event of the daemon's own may be put here: never between events of one transaction, nor before the server
   * is known.
   */
  get canPlace(): boolean {
    const between = this.#open === null || (!this.#hasKept && this.#open.publishedIndex === 0);
    return between && this.#held === null && !this.#resuming && this.#expected === null;
  }

  /** The sequence of an event that is put here; only while `canPlace`. */
  place(): number {
    return ++this.#sequence;
  }

  begin(message: Begin): void {
    if (this.#open !== null) {
      throw malformed("a transaction begins inside another");
    }
    const transaction = {
      id: String(message.xid),
      epoch: this.#from.epoch,
      commitLsn: message.commitLsn,
      timestamp: formatCommitTime(message.commitTime),
    };
    this.#checkExpected(transaction);
    const { commitLsn } = message;
    const cut = this.#from.last?.commitLsn === commitLsn ? this.#from.last : null;
    this.#open = { ...transaction, publishedIndex: this.#publishedIndex(commitLsn), messages: new MessageCount(cut) };
    this.#index = 0;
    this.#hasKept = false;
  }

  row(message: Insert | Update | Delete): void {
    if (!this.wantsRows) {
      this.#requireOpen();
      return;
    }
    const pending = this.#countMessage();
    if (pending === 0) {
      return;
    }
    const table = this.#relations.get(message.relation);
    const changes = rowChanges(message, table.encoder);
    for (let at = Math.max(0, changes.length - pending); at < changes.length; at++) {
      this.#index++;
      this.#keepChange(table, changes[at]!, changes.length - 1 - at, message.undecodable);
    }
  }

  truncate(message: Truncate): void {
    if (!this.wantsRows) {
      this.#requireOpen();
      return;
    }
    const pending = this.#countMessage();
    const { relations } = message;
    for (let at = Math.max(0, relations.length - pending); at < relations.length; at++) {
      this.#index++;
      this.#keepChange(this.#relations.get(relations[at]!), { operation: "truncate" }, relations.length - 1 - at);
    }
  }

  /** A transactional message counts, whoever wants it; any other has no position, and is passed over. */
  message({ transactional, prefix, content }: Message): void {
    const route = this.#messages;
    if (!transactional) {
      route?.placeless(prefix);
      return;
    }
    this.#requireOpen();
    if (this.#countMessage() === 0) {
      return;
    }
    this.#index++;
    const place = route?.wants(prefix) === true ? this.#keep(0) : null;
    if (route !== null && place !== null) {
      this.#held = { ...place, table: null, route, change: { operation: "message", prefix, content } };
    }
  }

  commit(message: Commit): void {
    const transaction = this.#requireOpen();
    if (transaction.commitLsn !== message.commitLsn) {
      throw malformed("a transaction ends at another LSN than its Begin named");
    }
    this.#open = null;
    this.#resuming &&= transaction.commitLsn !== this.#from.last!.commitLsn;
    if (transaction.publishedIndex === Number.POSITIVE_INFINITY) {
      return;
    }
    const held = this.#held;
    if (held !== null) {
      this.#output.event({ ...held, last: true });
      this.#output.committed(
        {
          commitLsn: transaction.commitLsn,
          xid: transaction.id,
          timestamp: transaction.timestamp,
          index: held.index,
          complete: true,
        },
        message.endLsn,
      );
      this.#held = null;
    } else if (transaction.publishedIndex > 0) {
      throw positionNotFound(this.#from.last!, "the transaction now has fewer events than were published of it");
    } else {
      this.#advanced(message.endLsn);
    }
  }

  /** The server has sent everything that ends at or below `walEnd`. */
  keepalive(walEnd: Lsn): void {
    if (this.#expected !== null && walEnd > this.#expected.commitLsn && this.#open === null) {
      throw positionNotFound(this.#expected, `the server is at ${formatLsn(walEnd)} and did not send it`);
    }
    if (this.#open === null && walEnd > this.#from.endLsn) {
      this.#advanced(walEnd);
    }
  }

  #advanced(lsn: Lsn): void {
    if (this.#expected === null) {
      this.#output.advanced(lsn);
    }
  }

  #publishedIndex(commitLsn: Lsn): number {
    if (commitLsn < this.#from.endLsn) {
      return Number.POSITIVE_INFINITY;
    }
    const { last } = this.#from;
    return last !== null && last.commitLsn === commitLsn ? last.index : 0;
  }

  #checkExpected(begun: EnvelopeTransaction): void {
    const expected = this.#expected;
    if (expected === null || begun.commitLsn < expected.commitLsn) {
      return;
    }
    if (begun.commitLsn > expected.commitLsn) {
      throw positionNotFound(expected, `the server sent ${formatLsn(begun.commitLsn)} next`);
    }
    if (begun.id !== expected.xid || begun.timestamp !== expected.timestamp) {
      throw positionNotFound(expected, `at that LSN stands transaction ${begun.id} of ${begun.timestamp}`);
    }
    this.#expected = null;
  }

  /** How many of the last events of the message at hand are still to be published. */
  #countMessage(): number {
    const { messages, publishedIndex } = this.#requireOpen();
    const pending = messages.next();
    if (messages.isCut) {
      this.#index = publishedIndex;
    }
    return pending;
  }

  #keepChange(table: Resolution, change: TableWhat["change"], rest: number, undecodable?: AfterimageError): void {
    const place = table.topic === null ? null : this.#keep(rest);
    if (table.topic !== null && place !== null) {
      const { transaction, sequence, index, message } = place;
      this.#held = { table, change, transaction, sequence, index, message, rest, ...(undecodable && { undecodable }) };
    }
  }

  /** The place of what is kept next; null when it is published already. */
  #keep(rest: number): Omit<CapturedPlace, "last"> | null {
    const transaction = this.#requireOpen();
    if (this.#index <= transaction.publishedIndex) {
      return null;
    }
    if (this.#expected !== null) {
      // All that stands before the expected commit was published: whoever has more there is another server.
      const where = `transaction ${transaction.id} at ${formatLsn(transaction.commitLsn)}`;
      throw positionNotFound(this.#expected, `${where} before it has changes that were never published`);
    }
    if (this.#held !== null) {
      this.#output.event({ ...this.#held, last: false });
    }
    this.#hasKept = true;
    this.#sequence++;
    return { transaction, sequence: this.#sequence, index: this.#index, message: transaction.messages.ordinal, rest };
  }

  #requireOpen(): OpenTransaction {
    if (this.#open === null) {
      throw malformed("a row stands outside every transaction");
    }
    return this.#open;
  }
}
