// Standby status updates: what tells Postgres how far everything is safe, so that it may forget that WAL. They run on
// their own timer, also while the pipeline stands still; never may they name more than what is committed in Kafka.
// https://www.postgresql.org/docs/current/protocol-replication.html (Standby status update)
import { type Lsn, ZERO_LSN } from "../event/lsn.ts";
import { failpoint } from "../failpoint.ts";

/** Well below `wal_sender_timeout`, whose smallest sensible settings are a few seconds. */
const INTERVAL_MS = 500;

const EPOCH_2000_MS = 946_684_800_000;

export class Feedback {
  readonly #send: (update: Buffer) => void;
  #confirmed: Lsn = ZERO_LSN;
  #timer: NodeJS.Timeout | null = null;

  constructor(send: (update: Buffer) => void) {
    this.#send = send;
  }

  /** Sends at once and then regularly. `0/0` keeps the walsender alive and moves nothing. */
  start(): void {
    this.#timer = setInterval(() => this.send(), INTERVAL_MS);
    this.send();
  }

  stop(): void {
    if (this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
  }

  get confirmed(): Lsn {
    return this.#confirmed;
  }

  /** Everything that ends at or below `endLsn` is committed in Kafka, and so is the record that says so. */
  confirm(endLsn: Lsn): void {
    if (endLsn > this.#confirmed) {
      this.#confirmed = endLsn;
      failpoint("feedback.confirmed");
      this.send();
    }
  }

  send(): void {
    failpoint("feedback.before-send");
    this.#send(encodeStatusUpdate(this.#confirmed, Date.now()));
    failpoint("feedback.sent");
  }

  /** As `send`; the server shall answer, so that a connection nobody answers on is noticed. */
  ask(): void {
    this.#send(encodeStatusUpdate(this.#confirmed, Date.now(), true));
  }
}

/** Write, flush and apply are the same LSN, sent unchanged: an LSN plus one would skip an adjacent commit. */
export function encodeStatusUpdate(lsn: Lsn, nowMs: number, replyRequested = false): Buffer {
  const update = Buffer.alloc(34);
  update[0] = 0x72;
  update.writeBigUInt64BE(lsn, 1);
  update.writeBigUInt64BE(lsn, 9);
  update.writeBigUInt64BE(lsn, 17);
  update.writeBigInt64BE(BigInt(nowMs - EPOCH_2000_MS) * 1000n, 25);
  update[33] = replyRequested ? 1 : 0;
  return update;
}
