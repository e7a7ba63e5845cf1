// Builds everything and keeps it alive: preflight, standby, streaming, backing off, halting. The only place that does.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type Config, rereadPasswords } from "../config/config.ts";
import { AfterimageError } from "../errors.ts";
import { failpoint } from "../failpoint.ts";
import { backoffMs } from "./backoff.ts";
import type { Before } from "./catalog-watch.ts";
import { findingsError, runDoctor } from "./doctor.ts";
import { decide, reported } from "./error-policy.ts";
import { DESCRIBED, Lifecycle, streamingState } from "./lifecycle.ts";
import { type EpochWish, epochWish } from "./new-epoch.ts";
import { type Served, serve } from "./served.ts";
import { slotFree } from "./slot-server.ts";
import { SnapshotLog } from "./snapshot-log.ts";
import type { SnapshotRequests } from "./snapshot-requests.ts";
import type { DaemonStatus } from "./status.ts";
import { StatusBoard } from "./status-board.ts";
import { StreamSession } from "./stream-session.ts";
import { untilStopped } from "./until-stopped.ts";
import { dropGivenUp, WalGuard } from "./wal-guard.ts";

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

const VERSION: string = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version;

export interface DaemonOptions {
  readonly logger: DaemonLogger;
  /** Begins a new epoch before it streams. Throws NEW_EPOCH_NOT_NEEDED, unless forced, when nothing is seen to be lost. */
  readonly newEpoch?: { readonly force: boolean } | undefined;
}

export function createDaemon(config: Config, options: DaemonOptions): Daemon {
  return new RunningDaemon(config, options);
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
  /** A new epoch that was asked for; done once, however often the stream is opened. */
  #epochWish: EpochWish | null;
  readonly #guard: WalGuard;
  /** The slot is to be dropped before anything else. */
  #dropsSlot = false;

  constructor(config: Config, { logger, newEpoch }: DaemonOptions) {
    this.#config = config;
    this.#logger = logger;
    this.#epochWish = newEpoch === undefined ? null : epochWish(newEpoch.force);
    this.#lifecycle = new Lifecycle((state) => logger.info({ state }, DESCRIBED[state]));
    this.#board = new StatusBoard(config, VERSION);
    this.#guard = new WalGuard({
      config: () => this.#config,
      ask: () => this.#session?.readRetention() ?? null,
      log: (severity, what) =>
        typeof what === "string"
          ? logger[severity]({}, what)
          : logger[severity]({ code: what.code, advice: what.advice }, what.message),
      giveUp: (error) => this.#giveUp(error),
    });
  }

  status(): DaemonStatus {
    return this.#board.status(this.#lifecycle, this.#guard);
  }

  async run(): Promise<void> {
    let served: Served | null = null;
    try {
      served = await serve(this.#config, {
        status: () => this.status(),
        sample: () => this.#board.sample(this.#guard),
        stop: () => void this.stop(),
        snapshots: () => this.#snapshotRequests(),
      });
      this.#board.notes.push(...served.notes);
      const { stream } = this.#config;
      this.#logger.info({ ...served.addresses, stream, version: VERSION }, "afterimage starts");
      for (const note of this.#board.notes) {
        this.#logger.warn({}, note);
      }
      void this.#guard.watch(this.#stopping.signal);
      await this.#keepStreaming();
      this.#lifecycle.transitionTo("draining");
      this.#lifecycle.transitionTo("stopped");
    } catch (error) {
      const halt = reported(error);
      this.#board.failed(halt);
      this.#lifecycle.transitionTo("halted");
      throw halt;
    } finally {
      await served?.close();
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
        await this.#dropGivenUp();
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

  /** The WAL guard's: not for a slot that another daemon holds, and once until the new epoch has begun. */
  #giveUp(error: AfterimageError): void {
    const { state } = this.#lifecycle;
    const pending = this.#epochWish !== null && !this.#epochWish.done;
    if (this.#hasRun && !pending && state !== "standby" && state !== "preflight" && !this.#stopping.signal.aborted) {
      this.#logger.error({ code: error.code, advice: error.advice }, error.message);
      this.#epochWish = epochWish(true, `${error.code}: ${error.message}`);
      this.#dropsSlot = true;
      this.#session?.fail(error);
    }
  }

  async #dropGivenUp(): Promise<void> {
    if (this.#dropsSlot && !(await dropGivenUp(this.#config, this.#stopping.signal))) {
      this.#epochWish = null; // another daemon has taken over
    }
    this.#dropsSlot = false;
  }

  #endSession(): void {
    this.#session = null;
    this.#board.sessionEnded();
  }

  async #preflight(): Promise<void> {
    this.#lifecycle.transitionTo("preflight");
    const newEpoch = this.#epochWish !== null && !this.#epochWish.done;
    const found = await runDoctor(this.#config, {
      waitMs: this.#hasRun ? 0 : this.#config.startup.waitMs,
      onWaiting: (line) => this.#logger.warn({}, line),
      signal: this.#stopping.signal,
      hasRun: this.#hasRun,
      newEpoch,
    });
    const findings = newEpoch ? found.filter(({ code }) => code !== "SLOT_LOST") : found;
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
        this.#session = await untilStopped(this.#open(), signal);
        break;
      } catch (error) {
        if (decide(error, this.#hasRun) !== "standby") {
          throw error;
        }
        this.#hasRun = true;
        this.#lifecycle.transitionTo("standby");
        failpoint("daemon.standby-entered");
        await untilStopped(slotFree(this.#config, signal), signal);
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
      this.#lifecycle.transitionTo(streamingState(session.snapshots));
    }
    await this.#board.watch(session, running, (trouble) => this.#onLook(trouble), onNote);
  }

  async #open(): Promise<StreamSession> {
    const wish = this.#epochWish;
    const isNew = wish !== null && !wish.done;
    const asked = { wish, before: this.#before };
    const session = await StreamSession.open(this.#config, this.#stopping.signal, undefined, asked);
    if (isNew) {
      const { epoch } = session.progress;
      this.#logger.warn({ epoch, reason: wish.reason }, "a new epoch begins; every table is read again");
    }
    return session;
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
      this.#lifecycle.transitionTo(streamingState(this.#session.snapshots));
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
