// What the progress record keeps of snapshots: which tables are being read, and how far. Written in the same Kafka
// transaction as the rows, so that no crash publishes a row twice, or leaves one out.

/** Values of key columns, in key order, as text. */
export type KeyTexts = readonly string[];

/** Rows of a table that are still to be read, in the order of the key. One that is read to its end is no more. */
export interface KeyRange {
  /** Key of the last row that was read, or where the range begins: the rows behind it. Null for the table's first row. */
  readonly after: KeyTexts | null;
  /** The last key that is in it, which tells one range of a table from another; null for the table's end. */
  readonly upTo: KeyTexts | null;
}

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
  /**
   * By which columns its rows are sorted: name, type and collation of each (`id:23:0`), as the first rows were read.
   * Absent before that, and in records of versions that did not keep it.
   */
  readonly order?: readonly string[];
  /** What is still to be read, at most as many as there were connections; when there is none, only `again` is left. */
  readonly ranges: readonly KeyRange[];
  /** Keys that have to be read again, since what was read of them is older than an event that left values out. */
  readonly again: readonly KeyTexts[];
  /** Rows read so far. */
  readonly rows: number;
  /** What the catalogue expects of rows; null when it has no idea. */
  readonly estimate: number | null;
}

/** The tables whose snapshot is not over, in the order in which they are read. */
export type SnapshotState = readonly TableSnapshot[];

export const WHOLE_TABLE: KeyRange = { after: null, upTo: null };

/** The JSON of `snapshot` in a progress record: `{"tables":[…]}`, or null while no snapshot is taken. */
export function snapshotField(state: SnapshotState): unknown {
  if (state.length === 0) {
    return null;
  }
  const tables = state.map(({ table, oid, where, since, behind, order, ranges, again, rows, estimate }) => ({
    table,
    oid,
    where,
    since,
    behind: behind === true ? true : undefined,
    order,
    ranges: ranges.map(({ after, upTo }) => ({ after, upTo })),
    again,
    rows,
    estimate,
  }));
  return { tables };
}

/** Also of records that were written when each table was read as one range: `cursor` and `atEnd` in place of `ranges`. */
export function parseSnapshotField(field: unknown): SnapshotState {
  // biome-ignore lint/suspicious/noExplicitAny: JSON of the form that snapshotField writes, or wrote
  const tables: any[] = field == null ? [] : (field as { tables: [] }).tables;
  return tables.map(({ cursor = null, atEnd = false, ranges, ...entry }) => ({
    ...entry,
    ranges: ranges ?? (atEnd ? [] : [{ after: cursor, upTo: null }]),
  }));
}
