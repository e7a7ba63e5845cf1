// One replication connection: WAL frames out, standby status updates in. The only importer of pg-logical-replication,
// of which only the connection and the framing are used: its acknowledgements send LSN + 1 and confirm what was merely
// received, so they are switched off and `Feedback` sends its own.

import type { Socket } from "node:net";
import type pg from "pg";
import { LogicalReplicationService } from "pg-logical-replication";
import { quoteIdentifier } from "../event/identifier.ts";
import { type Lsn, parseLsn } from "../event/lsn.ts";
import type { Origin } from "./origin.ts";
import {
  asLost,
  ConnectionLost,
  cancelStatement,
  clientConfig,
  type PostgresSettings,
  QUERY_TIMEOUT_MS,
  Unanswered,
} from "./session.ts";
import { PIN_LATE, SEND_AS_IS } from "./session-settings.ts";

export interface ReplicationTarget {
  readonly slot: string;
  readonly publication: string;
  /** Makes a temporary slot of that name first; it goes with the connection. */
  readonly temporary?: boolean;
  /** What came into the database by replication is left out when it is `none` (PostgreSQL 16 and later). */
  readonly origin?: Origin;
  /** Large transactions are sent while they are open, in the messages of protocol version 2. */
  readonly streaming?: boolean;
}

export interface FrameHandler {
  /** One pgoutput message. The bytes are only valid during the call. */
  wal(bytes: Buffer): void;
  /** Everything that ends at or below `walEnd` has been sent. */
  keepalive(walEnd: Lsn, replyRequested: boolean): void;
}

/** Options that change which events are made of the same WAL; `streaming` changes only when it is sent. */
export const PGOUTPUT_OPTIONS = { proto_version: "1", messages: "true" } as const;

type Waiting = { kind: "wal"; bytes: Buffer } | { kind: "keepalive"; walEnd: Lsn; replyRequested: boolean };

interface CopyConnection {
  readonly stream: Socket;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

/** How long the server may take to answer the goodbye; inside a huge transaction it does not look. */
const GOODBYE_MS = 1_500;
/** Inside a huge transaction of unpublished rows the server looks at what we sent only every half `wal_sender_timeout`. */
const LEAST_SILENCE_MS = 30_000;

export class ReplicationStream {
  readonly #service: LogicalReplicationService;
  readonly #connection: CopyConnection;
  /** Frames that came before there was a handler. */
  readonly #waiting: Waiting[] = [];
  #handler: FrameHandler | null = null;
  #open = true;
  #reading = false;
  /** How long it may be silent while it is read. */
  readonly silenceMs: number;
  /** Rejects when the connection ends without `close`; never resolves before that. */
  readonly lost: Promise<never>;

  private constructor(
    service: LogicalReplicationService,
    connection: CopyConnection,
    lost: Promise<never>,
    silenceMs: number,
  ) {
    this.#service = service;
    this.#connection = connection;
    this.silenceMs = silenceMs;
    this.lost = lost;
    // Whoever awaits it later still sees the rejection.
    lost.catch(() => {
      this.#open = false;
    });
  }

  /**
   * Starts replication from `0/0`, which means the slot's confirmed_flush_lsn, and pauses the socket: nothing is
   * consumed before `consume`. While the stream is open no other process can have the slot. An abort of `signal` ends
   * the attempt. Throws the driver's error: SQLSTATE 55006 when the slot is in use, 42704 when it does not exist.
   */
  static async open(
    settings: PostgresSettings,
    target: ReplicationTarget,
    name: string,
    signal?: AbortSignal,
  ): Promise<ReplicationStream> {
    signal?.throwIfAborted();
    const service = new LogicalReplicationService(clientConfig(settings, name), {
      acknowledge: { auto: false, timeoutSeconds: 0 },
    });
    const early: Waiting[] = [];
    let stream: ReplicationStream | null = null;
    const take = (frame: Waiting): void => {
      if (stream === null) {
        early.push(frame.kind === "wal" ? { kind: "wal", bytes: Buffer.from(frame.bytes) } : frame);
      } else {
        stream.#take(frame);
      }
    };

    let connection: CopyConnection | undefined;
    let cancelled: Promise<void> | undefined;
    let silenceMs = LEAST_SILENCE_MS;
    const patienceMs = settings.queryTimeoutMs ?? QUERY_TIMEOUT_MS;
    const cut = () => connection?.stream.destroy(new Unanswered(patienceMs));
    const patience = setTimeout(cut, patienceMs);
    const plugin = {
      name: "pgoutput",
      options: {},
      // An exception in here would be uncaught in the library: bytes are handed on as they are.
      parse: (bytes: Buffer) => bytes,
      start: async (client: pg.Client, slot: string) => {
        connection = (client as unknown as { connection: CopyConnection }).connection;
        if (signal?.aborted === true) {
          cut();
        }
        await client.query(PIN_LATE);
        await client.query(SEND_AS_IS);
        silenceMs = settings.silenceMs ?? Math.max(LEAST_SILENCE_MS, await readSenderTimeout(client));
        if (target.temporary === true) {
          // It waits for open transactions, and goes on doing so on the server when its connection is gone.
          clearTimeout(patience);
          const cancel = () => {
            cancelled = cancelStatement(settings, client);
          };
          signal?.addEventListener("abort", cancel);
          await client
            .query(`CREATE_REPLICATION_SLOT ${quoteIdentifier(slot)} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT`)
            .finally(() => signal?.removeEventListener("abort", cancel));
        }
        return client.query(startCommand(target));
      },
    };
    service.on("data", (_lsn: string, bytes: Buffer) => take({ kind: "wal", bytes }));
    service.on("heartbeat", (lsn: string, _time: number, replyRequested: boolean) =>
      take({ kind: "keepalive", walEnd: parseLsn(lsn), replyRequested }),
    );
    const started = new Promise<void>((resolve) => service.once("start", resolve));
    const failed = new Promise<never>((_resolve, reject) => service.on("error", (error) => reject(asLost(error))));
    const ended = service
      // The library's type asks for its own unexported base class; it only calls `name`, `start` and `parse`.
      .subscribe(plugin as unknown as Parameters<LogicalReplicationService["subscribe"]>[0], target.slot, "0/0")
      .then(() => {
        throw new ConnectionLost();
      });
    const lost = Promise.race([ended, failed]);
    signal?.addEventListener("abort", cut);
    try {
      await Promise.race([started, lost]);
    } catch (error) {
      await cancelled;
      await endService(service, connection);
      throw error;
    } finally {
      signal?.removeEventListener("abort", cut);
      clearTimeout(patience);
    }
    connection!.stream.pause();
    stream = new ReplicationStream(service, connection!, lost, silenceMs);
    for (const frame of early) {
      stream.#take(frame);
    }
    return stream;
  }

  /** Hands over what waits and lets the socket flow. */
  consume(handler: FrameHandler): void {
    this.#handler = handler;
    // First let it flow: the handler may want to pause it again at once.
    this.resume();
    for (const frame of this.#waiting.splice(0)) {
      this.#deliver(handler, frame);
    }
  }

  /** Stops reading the socket; frames that were already read still come. */
  pause(): void {
    this.#reading = false;
    this.#connection.stream.pause();
  }

  resume(): void {
    if (this.#open) {
      this.#reading = true;
      this.#connection.stream.resume();
    }
  }

  get reading(): boolean {
    return this.#reading;
  }

  get bytesRead(): number {
    return this.#connection.stream.bytesRead;
  }

  /** Ends the connection, since nobody answers on it: `lost` rejects. */
  cut(): void {
    this.#connection.stream.destroy(new Unanswered(this.silenceMs));
  }

  sendStatusUpdate(update: Buffer): void {
    if (this.#open) {
      this.#connection.sendCopyFromChunk(update);
    }
  }

  /** Ends the connection after the server has read what was sent; the slot becomes free. */
  async close(): Promise<void> {
    if (this.#open) {
      this.#open = false;
      // Destroying the socket at once could lose the last status update on its way.
      this.#connection.endCopyFrom();
      // A paused socket would never see the server's answer to the goodbye.
      this.#connection.stream.resume();
      let timer: NodeJS.Timeout | undefined;
      const patience = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, GOODBYE_MS);
      });
      await Promise.race([this.lost.catch(() => undefined), patience]);
      clearTimeout(timer);
    }
    await endService(this.#service, this.#connection);
  }

  #take(frame: Waiting): void {
    if (!this.#open) {
      return;
    }
    if (this.#handler === null) {
      // The driver reuses the buffer behind a message.
      this.#waiting.push(frame.kind === "wal" ? { kind: "wal", bytes: Buffer.from(frame.bytes) } : frame);
    } else {
      this.#deliver(this.#handler, frame);
    }
  }

  #deliver(handler: FrameHandler, frame: Waiting): void {
    if (frame.kind === "wal") {
      handler.wal(frame.bytes);
    } else {
      handler.keepalive(frame.walEnd, frame.replyRequested);
    }
  }
}

async function readSenderTimeout(client: pg.Client): Promise<number> {
  const { rows } = await client.query("SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'");
  return Number(rows[0]?.setting ?? 0);
}

/** The driver waits for the server's goodbye, which a connection that is half gone never gets. */
async function endService(service: LogicalReplicationService, connection: CopyConnection | undefined): Promise<void> {
  const late = setTimeout(() => connection?.stream.destroy(), GOODBYE_MS);
  await service.destroy().catch(() => undefined); // there may be nothing left to end
  clearTimeout(late);
}

function startCommand({ slot, publication, origin = "any", streaming = false }: ReplicationTarget): string {
  const options = Object.entries({
    ...PGOUTPUT_OPTIONS,
    ...(streaming ? { proto_version: "2", streaming: "on" } : {}),
    ...(origin === "any" ? {} : { origin }),
    // A list of SQL identifiers inside a string literal.
    publication_names: quoteIdentifier(publication).replaceAll("'", "''"),
  });
  return `START_REPLICATION SLOT ${quoteIdentifier(slot)} LOGICAL 0/0 (${options.map(([name, value]) => `${name} '${value}'`).join(", ")})`;
}
