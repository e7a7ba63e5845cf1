// A replication connection to the simulated Postgres: decodes from the slot's position, sends frames as fast as they are
// read, and takes status updates. While it lives it holds the slot.
import { formatLsn, type Lsn, toLsn } from "../../../src/event/lsn.ts";
import type { FrameHandler, ReplicationStream } from "../../../src/source/replication-stream.ts";
import type { Random } from "../../torture/random.ts";
import type { Process, Scheduler } from "../scheduler.ts";
import type { Backend, PostgresServer } from "./server.ts";
import { ServerError } from "./sql-client.ts";
import { frames } from "./wal.ts";

export const WAL_SENDER_TIMEOUT_MS = 60_000;
const SILENCE_MS = 30_000;
const KEEPALIVE_MS = 400;

type Frame = { readonly bytes: Buffer } | { readonly walEnd: Lsn; readonly replyRequested: boolean };

export interface WalsenderWorld {
  readonly server: PostgresServer;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly trace: (text: string) => void;
  /** The daemon is about to say that everything up to here is safe. */
  readonly confirming: (process: Process, lsn: Lsn) => void;
}

export class Walsender implements Backend, Pick<ReplicationStream, keyof ReplicationStream> {
  readonly pid: number;
  readonly silenceMs = SILENCE_MS;
  readonly lost: Promise<never>;
  bytesRead = 0;
  reading = false;
  readonly #world: WalsenderWorld;
  readonly #process: Process;
  readonly #failed = Promise.withResolvers<never>();
  readonly #announced = new Map<number, number>();
  readonly #startAt: Lsn;
  readonly #unwatch: () => void;
  #handler: FrameHandler | null = null;
  /** Frames of the transaction under way that are not sent yet. */
  #underWay: Generator<Buffer> | null = null;
  #next = 0;
  /** Everything that ends here or before was sent. */
  #sent: Lsn;
  #answer = false;
  /** The client's side is open; the server's side may be, too. */
  #open = true;
  #alive = true;
  /** Nothing passes in either direction any more, and nobody is told. */
  #silent = false;
  #scheduled = false;
  #lastUpdateAt = 0;
  #lastArrival = 0;

  constructor(world: WalsenderWorld, process: Process) {
    const { server, scheduler } = world;
    this.#world = world;
    this.#process = process;
    this.pid = server.newPid();
    this.lost = this.#failed.promise;
    this.lost.catch(() => undefined);
    this.#startAt = server.slot!.confirmed;
    this.#sent = this.#startAt;
    server.slot!.activePid = this.pid;
    server.connected(this);
    this.#unwatch = server.watch(() => this.#schedule());
    this.#lastUpdateAt = scheduler.now;
    this.#keepAlive();
    world.trace(`${process.name}: streams from ${formatLsn(this.#startAt)}`);
  }

  consume(handler: FrameHandler): void {
    this.#handler = handler;
    this.resume();
  }

  pause(): void {
    this.reading = false;
  }

  resume(): void {
    this.reading = this.#open;
    this.#schedule();
  }

  sendStatusUpdate(update: Buffer): void {
    if (!this.#open || this.#process.dead) {
      return;
    }
    const lsn = toLsn(update.readBigUInt64BE(1));
    const isAsking = update[33] === 1;
    this.#world.confirming(this.#process, lsn);
    if (this.#silent) {
      return;
    }
    const { scheduler, random, server } = this.#world;
    this.#lastArrival = Math.max(this.#lastArrival, scheduler.now + random.int(5, 200) / 100);
    scheduler.after(this.#lastArrival - scheduler.now, null, () => {
      if (this.#alive) {
        this.#lastUpdateAt = scheduler.now;
        server.confirm(lsn);
        this.#answer ||= isAsking;
        this.#schedule();
      }
    });
  }

  cut(): void {
    this.#lose(new ServerError("ETIMEDOUT"));
    this.#endSoon();
  }

  async close(): Promise<void> {
    this.#open = false;
    const { scheduler, random } = this.#world;
    if (!this.#silent) {
      scheduler.after(Math.max(this.#lastArrival - scheduler.now, 0) + random.int(5, 200) / 100, null, () =>
        this.#end(),
      );
    }
  }

  terminate(code: string): void {
    this.#end();
    this.#world.scheduler.after(this.#latency(), this.#process, () => this.#lose(new ServerError(code)));
  }

  /** The server gives the client up, which does not hear of it. */
  vanish(): void {
    this.#silent = true;
    this.#end();
  }

  /** The connection goes dead without a word to either side. */
  fallSilent(): void {
    this.#silent = true;
  }

  /** The process is gone: its machine says so, or the server only finds out by its timeout. */
  clientDied(isNoticed: boolean): void {
    this.#open = false;
    if (isNoticed) {
      this.#endSoon();
    }
  }

  #endSoon(): void {
    if (!this.#silent) {
      this.#world.scheduler.after(this.#latency(), null, () => this.#end());
    }
  }

  #end(): void {
    const { slot } = this.#world.server;
    this.#alive = false;
    this.#unwatch();
    this.#world.server.gone(this);
    if (slot?.activePid === this.pid) {
      slot.activePid = null;
    }
  }

  #lose(error: ServerError): void {
    if (this.#open) {
      this.#open = false;
      this.reading = false;
      this.#failed.reject(error);
    }
  }

  #keepAlive(): void {
    const { scheduler, random, trace } = this.#world;
    scheduler.after(random.int(KEEPALIVE_MS / 2, KEEPALIVE_MS * 2), null, () => {
      if (!this.#alive) {
        return;
      }
      if (scheduler.now - this.#lastUpdateAt > WAL_SENDER_TIMEOUT_MS) {
        trace(`postgres: walsender ${this.pid} gives up its client`);
        this.terminate("57P05");
        return;
      }
      this.#answer = true;
      this.#schedule();
      this.#keepAlive();
    });
  }

  #schedule(): void {
    if (this.#scheduled || !this.#alive || this.#silent || !this.reading || this.#handler === null) {
      return;
    }
    this.#scheduled = true;
    this.#world.scheduler.after(this.#latency(), this.#process, () => {
      this.#scheduled = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    if (!this.#alive || this.#silent || !this.reading) {
      return;
    }
    // What one read of the socket brings: it is all handed over, also when the reader pauses in the middle.
    for (let left = this.#world.random.int(1, 12); left > 0; left--) {
      const frame = this.#nextFrame();
      if (frame === null) {
        return;
      }
      this.bytesRead += 20;
      if ("bytes" in frame) {
        this.#handler!.wal(frame.bytes);
        // As the driver does once the call has returned.
        frame.bytes.fill(0);
      } else {
        this.#handler!.keepalive(frame.walEnd, frame.replyRequested);
      }
    }
    this.#schedule();
  }

  #nextFrame(): Frame | null {
    const { server, random } = this.#world;
    if (this.#answer || random.chance(0.05)) {
      this.#answer = false;
      return { walEnd: this.#walEnd, replyRequested: random.chance(0.3) };
    }
    for (;;) {
      if (this.#underWay !== null) {
        const { value, done } = this.#underWay.next();
        if (done !== true) {
          return { bytes: value };
        }
        this.#underWay = null;
        this.#sent = server.transactions[this.#next]!.endLsn;
        this.#next++;
      }
      const transaction = server.transactions[this.#next];
      if (transaction === undefined) {
        this.#sent = server.insertLsn;
        return null;
      }
      if (transaction.commitLsn < this.#startAt) {
        this.#next++;
      } else {
        this.#underWay = frames(transaction, this.#announced);
      }
    }
  }

  /** Inside a transaction: the end of what was decoded before its commit. */
  get #walEnd(): Lsn {
    return this.#underWay === null ? this.#sent : this.#world.server.transactions[this.#next]!.commitLsn;
  }

  #latency(): number {
    return this.#world.random.int(2, 150) / 100;
  }
}
