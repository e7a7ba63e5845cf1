// Frames in order: handled at once, or kept while a relation is being looked up.
import type { Lsn } from "../event/lsn.ts";

type Frame = Buffer | Lsn;

/** A frame that is worked on for so long that the server had better hear of the daemon before and after. */
export const LARGE_FRAME_BYTES = 4 * 1024 * 1024;

export class FrameQueue {
  readonly #handleWal: (bytes: Buffer) => void;
  readonly #handleKeepalive: (walEnd: Lsn) => void;
  #waiting: Frame[] = [];
  #held = false;

  constructor(handleWal: (bytes: Buffer) => void, handleKeepalive: (walEnd: Lsn) => void) {
    this.#handleWal = handleWal;
    this.#handleKeepalive = handleKeepalive;
  }

  get held(): boolean {
    return this.#held;
  }

  wal(bytes: Buffer): void {
    if (this.#held) {
      // The driver reuses the buffer behind a message.
      this.#waiting.push(Buffer.from(bytes));
    } else {
      this.#handleWal(bytes);
    }
  }

  keepalive(walEnd: Lsn): void {
    if (this.#held) {
      this.#waiting.push(walEnd);
    } else {
      this.#handleKeepalive(walEnd);
    }
  }

  hold(): void {
    this.#held = true;
  }

  /** Handles what waits; stops early when handling it holds the queue again. */
  release(): void {
    this.#held = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let next = 0; next < waiting.length; next++) {
      if (this.#held) {
        this.#waiting = [...waiting.slice(next), ...this.#waiting];
        return;
      }
      const frame = waiting[next]!;
      if (typeof frame === "bigint") {
        this.#handleKeepalive(frame);
      } else {
        this.#handleWal(frame);
      }
    }
  }
}
