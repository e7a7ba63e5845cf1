// Everything that was observed of one history, for the checker to judge. Plain data: a mutant is a changed copy.

/** Column name to the text that Postgres prints under pinned settings; a Map, since a column may be named `__proto__`. */
export type TextRow = ReadonlyMap<string, string | null>;

export interface TableSpec {
  /** As events name it: `public.accounts`. */
  readonly table: string;
  readonly topic: string;
  readonly partitions: number;
  readonly columns: readonly string[];
  /** Columns whose values the wire carries as JSON numbers or booleans instead of text, and of which type. */
  readonly types: ReadonlyMap<string, string>;
  /** Columns of the record key, in its order; none for a keyless table. */
  readonly key: readonly string[];
  readonly identity: "default" | "full" | "index" | "nothing";
}

/** One change as a trigger saw it, inside the transaction that made it. */
export interface AuditRow {
  /** xid8 as text. */
  readonly xid: string;
  /** Of a sequence: its order is the order of the changes within a transaction. */
  readonly ordinal: bigint;
  readonly table: string;
  readonly operation: "insert" | "update" | "delete" | "truncate";
  readonly old: TextRow | null;
  readonly new: TextRow | null;
}

/** One record as an ordinary read_committed consumer (kafkajs) gets it. */
export interface ReadRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  readonly key: string | null;
  readonly value: string | null;
  readonly producerId: string;
  readonly producerEpoch: number;
}

/** One commit of the source in the order of the WAL, from a slot that afterimage has nothing to do with. */
export interface SourceCommit {
  /** 32-bit xid as pgoutput writes it. */
  readonly xid: string;
  readonly commitLsn: bigint;
  /** As events write it. */
  readonly timestamp: string;
}

/** A table as the catalogue of Postgres has it. */
export interface CatalogTable {
  /** pg_class.oid */
  readonly oid: number;
  readonly columns: readonly { readonly name: string; readonly oid: number; readonly typmod: number }[];
}

/** What the project's own `afterimage verify --against-database` says of the stream. */
export interface Verified {
  readonly exitCode: number | null;
  /** `proven`, `partial` or `wrong`; null when it gave no report. */
  readonly result: string | null;
  /** What it found, notes left out; or what it said instead of a report. */
  readonly findings: readonly string[];
}

export interface PositionSample {
  /** Milliseconds since the history began. */
  readonly at: number;
  /** `confirmed_flush_lsn`, read before `stored`. */
  readonly confirmed: bigint;
  /** The progress record committed last; null when there is none yet. */
  readonly stored: { readonly endLsn: bigint; readonly sequence: number } | null;
}

export interface HealthSample {
  readonly at: number;
  readonly state: string;
  /** What `/readyz`-like callers would be told. */
  readonly healthy: boolean;
}

export interface RoundTimes {
  readonly round: number;
  readonly fault: string;
  /** Milliseconds since the history began. */
  readonly healedAt: number;
  /** Everything committed at `healedAt` was published; null when it never was. */
  readonly caughtUpAt: number | null;
  /** How long that may take. */
  readonly boundMs: number;
  /** Whether the fault did what it was to do. */
  readonly bit: boolean;
}

/** Milliseconds since the history began. */
export interface Period {
  readonly from: number;
  readonly to: number;
}

/** Looks that could not be taken. */
export interface Misses {
  readonly count: number;
  /** Why the last one could not. */
  readonly last: string | null;
}

/** How a history was looked at while it went on. */
export interface Watch {
  readonly ms: number;
  readonly misses: Readonly<Record<"positions" | "health" | "looks", Misses>>;
}

export interface ProcessExit {
  readonly process: "daemon" | "view";
  readonly code: number | null;
  readonly signal: string | null;
  /** Of the message on standard error; null when it said none. */
  readonly errorCode: string | null;
  /** Signals that the nemesis sent it, or armed it with, before it ended. */
  readonly sent: readonly string[];
  /** The fault in whose round it ended; null between rounds. */
  readonly during: string | null;
  /** Error codes with which it may end in that round. */
  readonly allowed: readonly string[];
}

/** The rows of a table, of the folded topic, or of the view. */
export type Contents = ReadonlyMap<string, readonly TextRow[]>;

/** A look at the view in one transaction of its store, taken while it was being written. */
export interface ViewLook {
  readonly at: number;
  readonly sum: bigint | null;
  /** List id to its elements. */
  readonly lists: ReadonlyMap<string, readonly string[]>;
}

export interface Evidence {
  readonly stream: string;
  /** False of a history that broke off: tables and view hold more than the stream, and can't be compared with it. */
  readonly whole: boolean;
  readonly tables: readonly TableSpec[];
  /** Of all tables' topics, read at the end; by topic, partition and offset. */
  readonly records: readonly ReadRecord[];
  /** Of the progress topic, read at the end. */
  readonly progress: readonly ReadRecord[];
  /** Of the schemas topic, read at the end. */
  readonly schemas: readonly ReadRecord[];
  /** What a reader that followed the topics all the time got. */
  readonly followed: readonly ReadRecord[];
  /** By ordinal. */
  readonly audit: readonly AuditRow[];
  readonly commits: readonly SourceCommit[];
  /** Audited xid8 to `pg_xact_status`. */
  readonly statuses: ReadonlyMap<string, string | null>;
  readonly contents: Contents;
  readonly catalog: ReadonlyMap<string, CatalogTable>;
  /** Null when it could not be asked. */
  readonly verified: Verified | null;
  /** Null when no view was kept. */
  readonly view: Contents | null;
  readonly looks: readonly ViewLook[];
  /** The workload's transfers keep this sum. */
  readonly constantSum: { readonly table: string; readonly column: string; readonly value: bigint };
  readonly positions: readonly PositionSample[];
  readonly health: readonly HealthSample[];
  /** In which nothing could get through to Kafka. */
  readonly dark: readonly Period[];
  readonly watch: Watch;
  readonly rounds: readonly RoundTimes[];
  readonly exits: readonly ProcessExit[];
}
