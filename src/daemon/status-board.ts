// Keeps what `status` shows: asks the server how far it is, counts events, remembers the last error.
import type { Config } from "../config/config.ts";
import type { AfterimageError } from "../errors.ts";
import { formatLsn } from "../event/lsn.ts";
import type { Progress } from "../event/progress.ts";
import { PublishedCounts } from "../pipeline/published-counts.ts";
import type { Moment } from "./history.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { DaemonStatus, ReportedError } from "./status.ts";
import type { Lag, StreamSession } from "./stream-session.ts";
import { UnreachedLooks } from "./unreached-looks.ts";
import type { WalGuard } from "./wal-guard.ts";

const TICK_MS = 1_000;
/** Ticks between two looks at the topics. */
const VERIFY_EVERY = 5;
/** An answer that takes longer says nothing about now. */
const STALE_MS = 3_000;
/** Ticks that `eventsPerSecond` spans. */
const RATE_TICKS = 10;
/** Errors that are remembered. */
const ERRORS_KEPT = 10;

const NO_SNAPSHOT = "Rows that a table held before it was captured are not read (snapshot: never).";

export class StatusBoard {
  readonly notes: string[];
  readonly #stream: string;
  readonly #version: string;
  #session: StreamSession | null = null;
  #progress: Progress | null = null;
  #lag: Lag | null = null;
  readonly #unreached = new UnreachedLooks();
  readonly #walLimits: Config["walGuard"];
  /** The latest first. */
  #errors: readonly ReportedError[] = [];
  readonly #errorCounts = new Map<string, number>();
  #tables: StreamSession["tables"] = [];
  /** By sessions that are over. */
  readonly #publishedBefore = new PublishedCounts();
  #messagesBefore: DaemonStatus["messages"] = null;
  #counts: { at: number; events: number }[] = [];

  constructor({ stream, snapshot, walGuard }: Pick<Config, "stream" | "snapshot" | "walGuard">, version: string) {
    this.#stream = stream;
    this.#version = version;
    this.#walLimits = walGuard;
    this.notes = snapshot === "never" ? [NO_SNAPSHOT] : [];
  }

  sessionStarted(session: StreamSession): void {
    this.#session = session;
  }

  sessionEnded(): void {
    if (this.#session !== null) {
      this.#progress = this.#session.progress;
      this.#tables = this.#session.tables;
      this.#messagesBefore = this.#messages();
      this.#publishedBefore.merge(this.#session.published);
      this.#session = null;
    }
    this.#lag = null;
    this.#unreached.forget();
  }

  /** Gives those that are new. */
  note(notes: readonly string[]): string[] {
    const fresh = notes.filter((note) => !this.notes.includes(note));
    this.notes.push(...fresh);
    return fresh;
  }

  failed({ code, message, advice }: AfterimageError): void {
    // What comes again with every attempt takes one place.
    const others = this.#errors.filter((error) => error.code !== code || error.message !== message);
    this.#errors = [{ code, message, advice, at: new Date().toISOString() }, ...others].slice(0, ERRORS_KEPT);
    this.#errorCounts.set(code, (this.#errorCounts.get(code) ?? 0) + 1);
  }

  /**
   * Looks at the server once a second until `running` ends, and ends with it. `onLook` is told each time whether
   * anything keeps the session from publishing, `onNote` what is found for the first time and stops nothing.
   */
  async watch(
    session: StreamSession,
    running: Promise<void>,
    onLook: (trouble: AfterimageError | null) => void,
    onNote: (note: string) => void,
  ): Promise<void> {
    let ticks = 0;
    const lookAtServer = oneAtATime(() => this.#lookAtServer(session));
    const verify = oneAtATime(async () => this.note(await session.verify()).forEach(onNote));
    const look = () => {
      this.#counts = [...this.#counts.slice(-RATE_TICKS), { at: performance.now(), events: this.#events() }];
      lookAtServer();
      onLook(session.trouble);
      if (ticks++ % VERIFY_EVERY === VERIFY_EVERY - 1) {
        verify();
      }
    };
    const timer = setInterval(look, TICK_MS);
    look();
    try {
      await running;
    } finally {
      clearInterval(timer);
    }
  }

  async #lookAtServer(session: StreamSession): Promise<void> {
    // What a server said that has not answered since is not shown as if it were now.
    const stale = setTimeout(() => {
      this.#lag = null;
    }, STALE_MS);
    const asked = Date.now();
    // A lost connection ends the session by itself.
    const lag = await session.readLag().catch(() => null);
    clearTimeout(stale);
    if (this.#session !== session) {
      return;
    }
    this.#lag = lag;
    if (lag !== null) {
      this.#unreached.add(lag.insertLsn, asked);
    }
  }

  status(lifecycle: Lifecycle, guard: Pick<WalGuard, "status" | "standbyDaemons">): DaemonStatus {
    const progress = this.#session?.progress ?? this.#progress;
    const { bytes, transactions, seconds, byTopic } = this.#published();
    return {
      version: this.#version,
      pid: process.pid,
      stream: this.#stream,
      state: lifecycle.state,
      since: lifecycle.since,
      position: progress && {
        epoch: progress.epoch,
        sequence: progress.sequence,
        endLsn: formatLsn(progress.endLsn),
        last: progress.last && {
          commitLsn: formatLsn(progress.last.commitLsn),
          index: progress.last.index,
          timestamp: progress.last.timestamp,
        },
      },
      lag: this.#lagNow(progress),
      wal: guard.status,
      eventsPerSecond: this.#rate(),
      eventsPublished: this.#events(),
      transactions: { published: transactions, bytes, seconds },
      snapshot: this.#session?.snapshots ?? [],
      tables: (this.#session?.tables ?? this.#tables).map((each) => ({
        ...each,
        events: byTopic.get(each.topic) ?? 0,
      })),
      messages: this.#messages(),
      notes: this.notes,
      lastError: this.#errors[0] ?? null,
      errors: this.#errors,
      errorCounts: Object.fromEntries(this.#errorCounts),
      walGuard: this.#walLimits,
      standbyDaemons: guard.standbyDaemons,
    };
  }

  /** As in the status, without what takes time to put together. */
  sample(guard: Pick<WalGuard, "status">): Moment {
    const { bytes: lagBytes, seconds: lagSeconds, retainedBytes } = this.#lagNow(this.#session?.progress ?? null);
    return {
      lagBytes,
      lagSeconds,
      events: this.#events(),
      bytes: this.#publishedBefore.bytes + (this.#session?.published.bytes ?? 0),
      retainedBytes: retainedBytes ?? guard.status?.retainedBytes ?? null,
    };
  }

  #lagNow(progress: Progress | null): DaemonStatus["lag"] {
    const lag = this.#lag;
    const session = this.#session;
    if (lag === null || progress === null || session === null) {
      return { bytes: null, seconds: null, retainedBytes: null };
    }
    const bytes = Math.max(0, Number(lag.insertLsn - progress.endLsn));
    // What is received tells of commits; before that, while the server still decodes, only that it has written more.
    const pending = session.oldestPending;
    const since = [pending === null ? null : Date.parse(pending), this.#unreached.oldest(progress.endLsn)];
    const ages = since.flatMap((at) => (at === null ? [] : [(Date.now() - at) / 1000]));
    return { bytes, seconds: Math.max(0, ...ages), retainedBytes: lag.retainedBytes };
  }

  #events(): number {
    return this.#publishedBefore.events + (this.#session?.published.events ?? 0);
  }

  #published(): PublishedCounts {
    const all = new PublishedCounts();
    all.merge(this.#publishedBefore);
    if (this.#session !== null) {
      all.merge(this.#session.published);
    }
    return all;
  }

  #messages(): DaemonStatus["messages"] {
    const before = this.#messagesBefore;
    const now = this.#session?.messages ?? null;
    if (before === null || now === null) {
      return now ?? before;
    }
    const { topic, published, notTransactional } = now;
    return {
      topic,
      published: before.published + published,
      notTransactional: before.notTransactional + notTransactional,
    };
  }

  #rate(): number {
    const [first] = this.#counts;
    if (first === undefined || this.#session === null) {
      return 0;
    }
    const seconds = (performance.now() - first.at) / 1000;
    return seconds <= 0 ? 0 : Math.round(((this.#events() - first.events) / seconds) * 10) / 10;
  }
}

/** A look that is still under way is not begun again. */
function oneAtATime(look: () => Promise<void>): () => void {
  let looking = false;
  return () => {
    if (!looking) {
      looking = true;
      void look().finally(() => {
        looking = false;
      });
    }
  };
}
