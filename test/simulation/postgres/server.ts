// A Postgres in memory: its log, its one slot, and who is connected. What a crash takes is what had not reached the disk:
// the slot's position since the last checkpoint, never a commit.
import { formatLsn, type Lsn, toLsn } from "../../../src/event/lsn.ts";
import type { Random } from "../../torture/random.ts";
import type { Scheduler } from "../scheduler.ts";
import { type Change, drawChanges, expectedEvents, FIRST_LSN, TABLES, type WalTransaction } from "./wal.ts";

export interface Slot {
  confirmed: Lsn;
  /** As of the last checkpoint. */
  persisted: Lsn;
  /** Process id of the walsender. */
  activePid: number | null;
}

/** A connection, as the server sees it. */
export interface Backend {
  readonly pid: number;
  /** The server ends it; `code` is what the client hears. */
  terminate(code: string): void;
}

const MICROSECONDS = 1_000;

export class PostgresServer {
  readonly transactions: WalTransaction[] = [];
  slot: Slot | null = null;
  /** Where the slot began: commits before it are not of the stream. */
  slotStart: Lsn | null = null;
  /** How many events the stream has to hold. */
  expectedEvents = 0;
  insertLsn: Lsn = FIRST_LSN;
  isUp = true;
  /** Told when something was written. */
  readonly #watchers = new Set<() => void>();
  readonly #backends = new Set<Backend>();
  readonly #columns = new Map(TABLES.map(({ oid }) => [oid, 2]));
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #trace: (text: string) => void;
  readonly #publishesMessages: boolean;
  #nextPid = 100;
  #nextXid = 700;

  constructor(scheduler: Scheduler, random: Random, trace: (text: string) => void, publishesMessages: boolean) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#trace = trace;
    this.#publishesMessages = publishesMessages;
  }

  columnsOf(oid: number): number {
    return this.#columns.get(oid)!;
  }

  newPid(): number {
    return this.#nextPid++;
  }

  connected(backend: Backend): void {
    this.#backends.add(backend);
  }

  gone(backend: Backend): void {
    this.#backends.delete(backend);
  }

  watch(written: () => void): () => void {
    this.#watchers.add(written);
    return () => this.#watchers.delete(written);
  }

  createSlot(): void {
    this.slot = { confirmed: this.insertLsn, persisted: this.insertLsn, activePid: null };
    this.slotStart = this.insertLsn;
    this.#trace(`postgres: slot made at ${formatLsn(this.insertLsn)}`);
  }

  /** One transaction commits. Its xid may be older than those before it, and its commit may follow without a gap. */
  commit(changes: readonly Change[] = drawChanges(this.#random, this.#columns)): void {
    const gap = this.#random.pick([0, 0, 8, 64]);
    const commitLsn = toLsn(this.insertLsn + BigInt(gap));
    const endLsn = toLsn(commitLsn + BigInt(this.#random.int(1, 4) * 8));
    this.#nextXid += 2;
    const xid = this.#random.chance(0.3) ? this.#nextXid - 5 : this.#nextXid;
    const commitTime = BigInt(Math.floor(this.#scheduler.now * MICROSECONDS));
    const expected = expectedEvents(xid, commitLsn, changes, this.#publishesMessages);
    this.transactions.push({ xid, commitLsn, endLsn, commitTime, changes, expected });
    if (this.slot !== null) {
      this.expectedEvents += expected.length;
    }
    this.#written(endLsn);
    this.#trace(`postgres: ${xid} commits ${changes.length} changes at ${formatLsn(commitLsn)}`);
  }

  /** Something that no stream gets: a rollback, a vacuum. */
  writeOther(): void {
    this.#written(toLsn(this.insertLsn + BigInt(this.#random.int(1, 30) * 8)));
  }

  addColumn(): void {
    const { oid, name } = this.#random.pick(TABLES);
    this.#columns.set(oid, this.columnsOf(oid) + 1);
    this.writeOther();
    this.#trace(`postgres: table ${name} gets a column`);
  }

  confirm(lsn: Lsn): void {
    if (this.slot !== null && lsn > this.slot.confirmed) {
      this.slot.confirmed = lsn;
    }
  }

  checkpoint(): void {
    if (this.slot !== null) {
      this.slot.persisted = this.slot.confirmed;
    }
  }

  terminateAll(code: string): void {
    this.#trace(`postgres: ends all connections with ${code}`);
    for (const backend of [...this.#backends]) {
      backend.terminate(code);
    }
  }

  crash(): void {
    this.isUp = false;
    this.terminateAll("57P02");
    if (this.slot !== null) {
      this.slot.confirmed = this.slot.persisted;
      this.slot.activePid = null;
    }
  }

  start(): void {
    this.isUp = true;
    this.#trace("postgres: is back");
  }

  #written(to: Lsn): void {
    this.insertLsn = to;
    for (const written of [...this.#watchers]) {
      written();
    }
  }
}
