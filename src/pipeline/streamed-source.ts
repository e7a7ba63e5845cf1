// Turns what Postgres sends of open transactions (protocol version 2) back into whole ones, in commit order: pieces go to
// the spool, and stand where their Stream Commit does, between a Begin and a Commit. Whoever is behind it sees the same
// messages as without. Never may anything overtake a transaction that is being read from the spool.
import type { Lsn } from "../event/lsn.ts";
import { malformed } from "../pgoutput/byte-reader.ts";
import {
  beginBytes,
  commitBytes,
  decodeStreamControl,
  type StreamCommit,
  type StreamControl,
  splitStreamed,
} from "../pgoutput/streamed.ts";
import type { FrameHandler } from "../source/replication-stream.ts";
import type { FrameSource } from "./parts.ts";
import type { Spool, SpoolReader } from "./spool.ts";

type Frame = Buffer | { readonly walEnd: Lsn; readonly replyRequested: boolean };

/** After so many bytes others get their turn: feedback has its own timer. */
const TURN_BYTES = 1024 * 1024;

export class StreamedSource implements FrameSource {
  readonly #upstream: FrameSource;
  readonly #spool: Spool;
  readonly #fail: (error: unknown) => void;
  #handler: FrameHandler | null = null;
  /** The transaction whose piece is being received. */
  #receiving: number | null = null;
  /** The transaction that is being read from the spool. */
  #reading: { commit: StreamCommit; reader: SpoolReader } | null = null;
  /** What came behind its commit. */
  #waiting: Frame[] = [];
  #isPaused = false;
  #isOver = false;
  #turn: NodeJS.Immediate | null = null;

  /** `fail`: what came can't be understood or kept; nothing more is handed over. */
  constructor(upstream: FrameSource, spool: Spool, fail: (error: unknown) => void) {
    this.#upstream = upstream;
    this.#spool = spool;
    this.#fail = fail;
  }

  consume(handler: FrameHandler): void {
    this.#handler = handler;
    this.#upstream.consume({
      wal: (bytes) => {
        // The driver reuses the buffer behind a message.
        this.#guard(() => (this.#reading === null ? this.#wal(bytes) : this.#waiting.push(Buffer.from(bytes))));
      },
      keepalive: (walEnd, replyRequested) => {
        if (this.#reading === null) {
          this.#guard(() => handler.keepalive(walEnd, replyRequested));
        } else {
          this.#waiting.push({ walEnd, replyRequested });
        }
      },
    });
  }

  pause(): void {
    this.#isPaused = true;
    this.#upstream.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#reading === null) {
      this.#upstream.resume();
    } else {
      this.#takeTurn();
    }
  }

  /** Hands nothing more over and removes the spool. */
  close(): void {
    this.#isOver = true;
    if (this.#turn !== null) {
      clearImmediate(this.#turn);
    }
    this.#reading?.reader.close();
    this.#reading = null;
    this.#spool.close();
  }

  #wal(bytes: Buffer): void {
    const control = decodeStreamControl(bytes);
    if (control !== null) {
      this.#control(control);
    } else if (this.#receiving !== null) {
      this.#spool.append(splitStreamed(bytes));
    } else {
      this.#handler!.wal(bytes);
    }
  }

  #control(control: StreamControl): void {
    if ((control.kind === "stream-stop") === (this.#receiving === null)) {
      throw malformed(`a ${control.kind} stands ${this.#receiving === null ? "outside" : "inside"} a piece`);
    }
    switch (control.kind) {
      case "stream-start":
        if (control.first === this.#spool.has(control.xid)) {
          throw malformed(
            `transaction ${control.xid} ${control.first ? "begins twice" : "goes on without a beginning"}`,
          );
        }
        this.#spool.begin(control.xid);
        this.#receiving = control.xid;
        return;
      case "stream-stop":
        this.#spool.end();
        this.#receiving = null;
        return;
      case "stream-abort":
        if (control.subxid === control.xid) {
          this.#spool.remove(control.xid);
        } else {
          this.#spool.rollBack(control.xid, control.subxid);
        }
        return;
      case "stream-commit":
        if (!this.#spool.has(control.xid)) {
          throw malformed(`transaction ${control.xid} commits without a beginning`);
        }
        this.#upstream.pause();
        this.#reading = { commit: control, reader: this.#spool.read(control.xid) };
        this.#handler!.wal(beginBytes(control));
        this.#read();
        return;
      default:
        throw control satisfies never;
    }
  }

  /** Hands the transaction over, as far as it is wanted now. */
  #read(): void {
    let bytes = 0;
    while (this.#reading !== null && !this.#isPaused && !this.#isOver) {
      const { commit, reader } = this.#reading;
      const message = reader.next();
      if (message === null) {
        reader.close();
        this.#reading = null;
        this.#spool.remove(commit.xid);
        this.#handler!.wal(commitBytes(commit));
        this.#goOn();
        return;
      }
      this.#handler!.wal(message);
      bytes += message.length;
      if (bytes >= TURN_BYTES) {
        this.#takeTurn();
        return;
      }
    }
  }

  /** What came meanwhile, up to the next commit of a streamed transaction; then the socket. */
  #goOn(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let next = 0; next < waiting.length && !this.#isOver; next++) {
      const frame = waiting[next]!;
      if (this.#reading !== null) {
        this.#waiting.push(...waiting.slice(next));
        return;
      }
      if (Buffer.isBuffer(frame)) {
        this.#wal(frame);
      } else {
        this.#handler!.keepalive(frame.walEnd, frame.replyRequested);
      }
    }
    if (this.#reading === null && !this.#isPaused && !this.#isOver) {
      this.#upstream.resume();
    }
  }

  #takeTurn(): void {
    this.#turn ??= setImmediate(() => {
      this.#turn = null;
      this.#guard(() => this.#read());
    });
  }

  #guard(step: () => void): void {
    if (this.#isOver) {
      return;
    }
    try {
      step();
    } catch (error) {
      this.#isOver = true;
      this.#fail(error);
    }
  }
}
