// One direction of a proxied connection: late, narrow or stalled as the proxy is told, in order, and never more in
// memory than a sender is allowed to be ahead.
import type { Socket } from "node:net";

/** Of all connections of a proxy. */
export interface Conditions {
  /** Milliseconds that every byte takes longer. */
  delayMs: number;
  bytesPerSecond: number;
  /** Nothing moves; what is on its way arrives later, as after lost packets that are sent again. */
  stalled: boolean;
}

export const fairWeather = (): Conditions => ({ delayMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY, stalled: false });

/** Above it the sender is not read. */
const HELD_BYTES = 1024 * 1024;

export class Lane {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #conditions: Conditions;
  readonly #waiting: { readonly what: Buffer | "end" | "close"; readonly due: number }[] = [];
  #held = 0;
  #lastDue = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, conditions: Conditions) {
    this.#from = from;
    this.#to = to;
    this.#conditions = conditions;
    to.on("drain", () => this.#letRead());
  }

  send(bytes: Buffer): void {
    this.#held += bytes.length;
    this.#queue(bytes);
  }

  /** Half-closes the connection towards the receiver, behind everything that was sent. */
  end(): void {
    this.#queue("end");
  }

  /** Closes the receiver, behind everything that was sent. */
  close(): void {
    this.#queue("close");
  }

  /** To be called when the conditions have changed. */
  move(): void {
    clearTimeout(this.#timer);
    while (this.#waiting.length > 0 && !this.#conditions.stalled) {
      const { what, due } = this.#waiting[0]!;
      const wait = due - performance.now();
      if (wait > 0 && !this.#isFair()) {
        this.#timer = setTimeout(() => this.move(), wait);
        break;
      }
      this.#waiting.shift();
      if (what === "end") {
        this.#to.end();
      } else if (what === "close") {
        this.#to.destroySoon();
      } else {
        this.#held -= what.length;
        if (this.#to.writable) this.#to.write(what);
      }
    }
    if (this.#held + this.#to.writableLength > HELD_BYTES) {
      this.#from.pause();
    } else {
      this.#letRead();
    }
  }

  /** What has not arrived yet never will. */
  drop(): void {
    clearTimeout(this.#timer);
    this.#waiting.length = 0;
    this.#held = 0;
    this.#from.resume();
  }

  #queue(what: Buffer | "end" | "close"): void {
    const { delayMs, bytesPerSecond } = this.#conditions;
    const size = typeof what === "string" ? 0 : what.length;
    this.#lastDue = Math.max(performance.now() + delayMs, this.#lastDue) + (size / bytesPerSecond) * 1000;
    this.#waiting.push({ what, due: this.#lastDue });
    this.move();
  }

  #isFair(): boolean {
    return this.#conditions.delayMs === 0 && this.#conditions.bytesPerSecond === Number.POSITIVE_INFINITY;
  }

  #letRead(): void {
    if (this.#from.isPaused() && this.#held + this.#to.writableLength <= HELD_BYTES) {
      this.#from.resume();
    }
  }
}
