// Builds everything and keeps it alive: preflight, standby, streaming, backing off, halting. The only place that does.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import { type Config, rereadPasswords } from "../config/config.ts";
import { AfterimageError } from "../errors.ts";
import { failpoint } from "../failpoint.ts";
import { withSql } from "../source/session.ts";
import { waitUntilInactive } from "../source/slot.ts";
import { type AdminServer, startAdminServer } from "./admin-server.ts";
import { backoffMs } from "./backoff.ts";
import type { Before } from "./catalog-watch.ts";
import { SERVERS } from "./connections.ts";
import { findingsError, runDoctor } from "./doctor.ts";
import { decide, reported } from "./error-policy.ts";
import { Lifecycle } from "./lifecycle.ts";
import { SnapshotLog } from "./snapshot-log.ts";
import type { SnapshotRequests } from "./snapshot-requests.ts";
import type { DaemonStatus, State } from "./status.ts";
import { StatusBoard } from "./status-board.ts";
import { StreamSession } from "./stream-session.ts";

/** What the daemon logs with; pino's shape. */
export interface DaemonLogger {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

export interface Daemon {
  /** Resolves after a clean stop; rejects with an AfterimageError on a halt. */
  run(): Promise<void>;
  /** Drains to a batch boundary; resolves when `run` has ended. */
  stop(): Promise<void>;
  status(): DaemonStatus;
}

/** How long a stop waits for connections that are being opened to be closed in good order. */
const OPENING_MS = 5_000;

const VERSION: string = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version;

export function createDaemon(config: Config, { logger }: { logger: DaemonLogger }): Daemon {
  return new RunningDaemon(config, logger);
}

class RunningDaemon implements Daemon {
  #config: Config;
  readonly #logger: DaemonLogger;
  readonly #lifecycle: Lifecycle;
  readonly #board: StatusBoard;
  readonly #snapshotLog = new SnapshotLog();
  readonly #stopping = new AbortController();
  readonly #ended = Promise.withResolvers<void>();
  readonly #before: Before = { unpublished: null };
  #session: StreamSession | null = null;
  /** It has streamed or stood by: the settings are right, and what fails from now on may pass. */
  #hasRun = false;

  constructor(config: Config, logger: DaemonLogger) {
    this.#config = config;
    this.#logger = logger;
    this.#lifecycle = new Lifecycle((state) => logger.info({ state }, DESCRIBED[state]));
    this.#board = new StatusBoard(config, VERSION);
  }

  status(): DaemonStatus {
    return this.#board.status(this.#lifecycle);
  }

  async run(): Promise<void> {
    let admin: AdminServer | null = null;
    try {
      admin = await startAdminServer({
        ...this.#config.admin,
        status: () => this.status(),
        stop: () => void this.stop(),
        snapshot: (table, where) => this.#snapshotRequests().begin(table, where),
        cancelSnapshot: (table) => this.#snapshotRequests().cancel(table),
      });
      this.#board.notes.push(...admin.notes);
      this.#logger.info({ admin: admin.address, stream: this.#config.stream, version: VERSION }, "afterimage starts");
      for (const note of this.#board.notes) {
        this.#logger.warn({}, note);
      }
      await this.#keepStreaming();
      this.#lifecycle.transitionTo("draining");
      this.#lifecycle.transitionTo("stopped");
    } catch (error) {
      const halt = reported(error);
      this.#board.failed(halt);
      this.#lifecycle.transitionTo("halted");
      throw halt;
    } finally {
      await admin?.close();
      this.#ended.resolve();
    }
  }

  async stop(): Promise<void> {
    if (!this.#stopping.signal.aborted) {
      this.#stopping.abort();
      if (this.#session !== null) {
        this.#lifecycle.transitionTo("draining");
        this.#session.stop();
      }
    }
    await this.#ended.promise;
  }

  #snapshotRequests(): SnapshotRequests {
    if (this.#session === null || this.#stopping.signal.aborted) {
      throw new AfterimageError(
        "NOT_STREAMING",
        `The daemon is ${this.#lifecycle.state}: a snapshot can be asked for only while it streams.`,
        "Try again when afterimage status says streaming.",
      );
    }
    return this.#session.snapshotRequests;
  }

  async #keepStreaming(): Promise<void> {
    const { signal } = this.#stopping;
    const started = performance.now();
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        this.#config = rereadPasswords(this.#config);
        await this.#preflight();
        failpoint("daemon.preflight-over");
        await this.#stream(() => {
          failures = 0;
        });
        this.#endSession();
        if (!signal.aborted) {
          this.#logger.info({}, "the publication has a new table: opening the stream afresh, to read it");
        }
      } catch (error) {
        const wasOpen = this.#session !== null;
        // Before the pause: what `status` shows meanwhile must not be a lost server's last words.
        this.#endSession();
        // What a stop cuts off was not under way, or is sent again next time.
        if (signal.aborted && (!wasOpen || decide(error, true) !== "halt")) {
          return;
        }
        const patient = this.#hasRun || performance.now() - started < this.#config.startup.waitMs;
        this.#onFailure(error, patient);
        await this.#pause(backoffMs(failures));
      }
    }
  }

  #endSession(): void {
    this.#session = null;
    this.#board.sessionEnded();
  }

  async #preflight(): Promise<void> {
    this.#lifecycle.transitionTo("preflight");
    const findings = await runDoctor(this.#config, {
      waitMs: this.#hasRun ? 0 : this.#config.startup.waitMs,
      onWaiting: (line) => this.#logger.warn({}, line),
      signal: this.#stopping.signal,
      hasRun: this.#hasRun,
    });
    for (const { code, severity, what, remedy } of findings) {
      if (severity === "warning") {
        this.#logger.warn({ code, remedy }, what);
      }
    }
    const error = findingsError(findings);
    if (error !== null) {
      throw error;
    }
  }

  /** Opens the stream, waiting for the slot as a standby, and runs it to its end. */
  async #stream(onStreaming: () => void): Promise<void> {
    const { signal } = this.#stopping;
    for (;;) {
      try {
        this.#session = await this.#untilStopped(StreamSession.open(this.#config, signal, SERVERS, this.#before));
        break;
      } catch (error) {
        if (decide(error, this.#hasRun) !== "standby") {
          throw error;
        }
        this.#hasRun = true;
        this.#lifecycle.transitionTo("standby");
        failpoint("daemon.standby-entered");
        const { postgres, stream } = this.#config;
        const wait = (client: Client) => waitUntilInactive(client, postgres.slot, signal);
        await this.#untilStopped(withSql(postgres, `afterimage ${stream} standby`, wait, signal));
        if (signal.aborted) {
          return;
        }
        failpoint("daemon.standby-over");
      }
    }
    const session = this.#session;
    this.#board.sessionStarted(session);
    const onNote = (note: string) => this.#logger.warn({}, note);
    this.#board.note(session.notes).forEach(onNote);
    const running = session.run();
    if (signal.aborted) {
      session.stop();
    } else {
      this.#hasRun = true;
      onStreaming();
      this.#lifecycle.transitionTo(stateOf(session));
    }
    await this.#board.watch(session, running, (trouble) => this.#onLook(trouble), onNote);
  }

  /** The result, but a stop does not wait long for what is being opened: whatever it opens is closed again. */
  async #untilStopped<T>(opening: Promise<T>): Promise<T> {
    const { signal } = this.#stopping;
    const { promise: late, reject } = Promise.withResolvers<never>();
    let timer: NodeJS.Timeout | undefined;
    const onAbort = () => {
      timer = setTimeout(() => reject(signal.reason), OPENING_MS);
    };
    signal.addEventListener("abort", onAbort);
    try {
      return await Promise.race([opening, late]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      clearTimeout(timer);
    }
  }

  /** A session that waits for Kafka in place lives on, but does not stream; nobody shall be told that it does. */
  #onLook(trouble: AfterimageError | null): void {
    for (const line of this.#snapshotLog.lines(this.#session?.snapshots ?? [])) {
      this.#logger.info({}, line);
    }
    const { state } = this.#lifecycle;
    const runs = state === "streaming" || state === "snapshotting";
    if (trouble !== null && runs) {
      this.#board.failed(trouble);
      this.#lifecycle.transitionTo("backing-off");
      this.#logger.warn({ code: trouble.code, advice: trouble.advice }, trouble.message);
    } else if (trouble === null && (runs || state === "backing-off") && this.#session !== null) {
      this.#lifecycle.transitionTo(stateOf(this.#session));
    }
  }

  #onFailure(error: unknown, patient: boolean): void {
    const failure = reported(error);
    this.#board.failed(failure);
    if (decide(error, this.#hasRun) !== "retry" || !patient || this.#stopping.signal.aborted) {
      throw failure;
    }
    this.#lifecycle.transitionTo("backing-off");
    this.#logger.warn({ code: failure.code, advice: failure.advice }, failure.message);
    failpoint("daemon.backing-off");
  }

  async #pause(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.#stopping.signal }).catch(() => undefined); // the loop ends
  }
}

const stateOf = (session: StreamSession): State => (session.snapshots.length > 0 ? "snapshotting" : "streaming");

const DESCRIBED: Readonly<Record<State, string>> = {
  starting: "starting",
  preflight: "checking Postgres and Kafka",
  standby: "standby: another daemon holds the slot; taking over when it is free",
  snapshotting: "streaming, and reading tables beside it",
  streaming: "streaming",
  "backing-off": "backing off",
  draining: "draining to a batch boundary",
  stopped: "stopped",
  halted: "halted",
};
