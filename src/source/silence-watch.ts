// Notices a replication connection whose other end is gone without a word: a machine that lost power, a firewall that
// forgot the connection. Nothing arrives, and what is sent seems to leave.

/** The connection, as the watch sees it. */
export interface WatchedConnection {
  /** How many bytes have come so far. */
  readonly bytesRead: number;
  /** Whether it is read: a paused socket is silent because we want it so. */
  readonly reading: boolean;
  /** Ends the connection. */
  cut(): void;
}

/** Looks in one deadline; the connection is asked for a sign at each. */
const LOOKS = 10;

export class SilenceWatch {
  readonly #connection: WatchedConnection;
  readonly #ask: () => void;
  #timer: NodeJS.Timeout | null = null;
  #seen = 0;
  #silentLooks = 0;

  constructor(connection: WatchedConnection, ask: () => void) {
    this.#connection = connection;
    this.#ask = ask;
  }

  /** Cuts the connection once it was read for `deadlineMs` in vain. */
  start(deadlineMs: number): void {
    this.#timer = setInterval(() => this.#look(), Math.ceil(deadlineMs / LOOKS));
  }

  stop(): void {
    if (this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
  }

  // Looks are counted, not time: while this process itself is suspended no look happens.
  #look(): void {
    const { bytesRead, reading } = this.#connection;
    this.#silentLooks = reading && bytesRead === this.#seen ? this.#silentLooks + 1 : 0;
    this.#seen = bytesRead;
    if (this.#silentLooks >= LOOKS) {
      this.stop();
      this.#connection.cut();
    } else if (reading) {
      this.#ask();
    }
  }
}
