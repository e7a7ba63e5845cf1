// What `status` shows, and the admin server serves as JSON. Always the truth: never `streaming` while a gap is known.

export const STATES = [
  "starting",
  "preflight",
  "standby",
  "snapshotting",
  "streaming",
  "backing-off",
  "draining",
  "stopped",
  "halted",
] as const;

export type State = (typeof STATES)[number];

export interface ReportedError {
  readonly code: string;
  readonly message: string;
  readonly advice: string;
  /** ISO 8601, UTC. */
  readonly at: string;
}

export interface CapturedTable {
  readonly table: string;
  readonly topic: string;
  /** Published since the start; a barrier counts once. */
  readonly events: number;
}

/** A table whose snapshot is not over. */
export interface SnapshotStatus {
  readonly table: string;
  readonly rows: number;
  /** Of the whole table, as the catalogue has it; null when it does not know. */
  readonly estimatedRows: number | null;
  /** Since its reading was begun or taken up again; 0 while it waits for its turn. */
  readonly rowsPerSecond: number;
  readonly secondsLeft: number | null;
  /** What keeps it from going on, such as a transaction that others can't see yet. */
  readonly waitingFor: string | null;
}

/** What the slot makes the server keep. */
export interface WalStatus {
  /** `alert` is loud; `give-up` is there only where `walGuard.giveUp` is set. */
  readonly level: "ok" | "warn" | "alert" | "give-up";
  readonly retainedBytes: number;
  /** By which it grows, over the last minute; below 0 when it falls. */
  readonly bytesPerSecond: number;
  /** Until the server can give the slot up; null when `max_slot_wal_keep_size` sets no bound. */
  readonly leftBytes: number | null;
  /** At this growth; null when it does not grow, or never is. */
  readonly secondsLeft: number | null;
  /** Slots of standbys that Postgres waits for before it sends anything; null when it does not, or not for long. */
  readonly awaitedStandbys: string | null;
}

export interface DaemonStatus {
  readonly version: string;
  readonly pid: number;
  readonly stream: string;
  readonly state: State;
  /** When that state was entered; ISO 8601, UTC. */
  readonly since: string;
  /** The progress record stored last; null until it is known. */
  readonly position: {
    readonly epoch: number;
    readonly sequence: number;
    /** Everything that ends at or below it is published; `16/B374D848`. */
    readonly endLsn: string;
    /** Commit LSN, index and commit time of the event published last. */
    readonly last: { readonly commitLsn: string; readonly index: number; readonly timestamp: string } | null;
  } | null;
  readonly lag: {
    /** WAL between what is published and the server's insert position. Null while the server can't be asked. */
    readonly bytes: number | null;
    /**
     * Age of the oldest commit that was received and is not published yet; or, when it is more, for how long the server
     * has been known to hold WAL that is not through. 0 when all is published; null while the server can't be asked.
     */
    readonly seconds: number | null;
    /** WAL the slot keeps on the server. */
    readonly retainedBytes: number | null;
  };
  /** Looked at every 5 s, also while nothing is streamed; null while the server can't be asked, or has no slot. */
  readonly wal: WalStatus | null;
  /** Over the last 10 s. */
  readonly eventsPerSecond: number;
  readonly eventsPublished: number;
  /** Kafka transactions since the start: how many, what they held, and how many seconds Kafka took for them. */
  readonly transactions: { readonly published: number; readonly bytes: number; readonly seconds: number };
  /** Tables whose snapshot is not over, in their order. */
  readonly snapshot: readonly SnapshotStatus[];
  readonly tables: readonly CapturedTable[];
  /** Since the start; null while none are published. `notTransactional` ones have no place in the stream. */
  readonly messages: { readonly topic: string; readonly published: number; readonly notTransactional: number } | null;
  /** What the operator should know though it stops nothing, such as rows older than the slot. */
  readonly notes: readonly string[];
  readonly lastError: ReportedError | null;
  /** Errors that it went on after, or halted with; the latest first, at most ten, each message once. */
  readonly errors: readonly ReportedError[];
  /** How often there was one of each code since the start. */
  readonly errorCounts: Readonly<Record<string, number>>;
  /** Sizes of `wal.retainedBytes` from which on the guard speaks up; `giveUp` null: never. */
  readonly walGuard: { readonly warn: number; readonly alert: number; readonly giveUp: number | null };
  /** Daemons of this stream that stand by, this one included when it does; null while the server can't be asked. */
  readonly standbyDaemons: number | null;
}
