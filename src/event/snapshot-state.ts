// What the progress record keeps of snapshots: which tables are being read, and how far. Written in the same Kafka
// transaction as the rows, so that a crash reads at most one chunk again.

export interface TableSnapshot {
  /** `formatTableName` text. */
  readonly table: string;
  readonly oid: number;
  /** SQL condition of the rows that were asked for; null for all of them. */
  readonly where: string | null;
  /** Sequence of the gap that opened it; null before that, and for a snapshot of some rows only, which has none. */
  readonly since: number | null;
  /**
   * Whether events may stand behind its gap that are older than the change of the catalogue which it answers. Nothing is
   * read before the stream has passed that.
   */
  readonly behind?: boolean;
  /** Key of the last row that was read, in key order, as text; null before the first chunk. */
  readonly cursor: readonly string[] | null;
  /** Whether the last chunk was read; only `again` is left. */
  readonly atEnd: boolean;
  /** Keys that have to be read again, since what was read of them is older than an event that left values out. */
  readonly again: readonly (readonly string[])[];
  /** Rows read so far. */
  readonly rows: number;
  /** What the catalogue expects of rows; null when it has no idea. */
  readonly estimate: number | null;
}

/** The tables whose snapshot is not over, in the order in which they are read. */
export type SnapshotState = readonly TableSnapshot[];

/** The JSON of `snapshot` in a progress record: `{"tables":[…]}`, or null while no snapshot is taken. */
export function snapshotField(state: SnapshotState): unknown {
  if (state.length === 0) {
    return null;
  }
  const tables = state.map(({ table, oid, where, since, behind, cursor, atEnd, again, rows, estimate }) => ({
    table,
    oid,
    where,
    since,
    behind: behind === true ? true : undefined,
    cursor,
    atEnd,
    again,
    rows,
    estimate,
  }));
  return { tables };
}

export function parseSnapshotField(field: unknown): SnapshotState {
  return field == null ? [] : (field as { tables: SnapshotState }).tables;
}
