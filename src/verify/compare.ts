// One table against its fold: bucket by bucket, and row by row where the sums differ.
import { convertToken, digestOf, haveSameForm, NULL_TOKEN, showKey, splitRow, UNKNOWN_TOKEN } from "./canonical.ts";
import { BUCKETS, type BucketSum, type DatabaseRow, type DatabaseSnapshot } from "./database-snapshot.ts";
import type { FindingDetails, Findings } from "./finding.ts";
import type { Fold, FoldedTable } from "./fold.ts";
import type { TableReport } from "./report.ts";
import type { Shape } from "./shape.ts";
import type { PlannedTable } from "./table-plan.ts";
import type { FoldedRow } from "./table-rows.ts";

export class TableComparison {
  readonly #table: PlannedTable;
  readonly #fold: Fold;
  readonly #folded: FoldedTable | undefined;
  readonly #shapeOf: (schema: number) => Shape | undefined;
  readonly #findings: Findings;
  #rowsUnseen = 0;
  #valuesUnseen = 0;
  readonly #columnsUnseen = new Set<string>();
  #wrong = 0;

  constructor(table: PlannedTable, fold: Fold, shapeOf: (schema: number) => Shape | undefined, findings: Findings) {
    this.#table = table;
    this.#fold = fold;
    this.#folded = fold.table(table.schema.table);
    this.#shapeOf = shapeOf;
    this.#findings = findings;
  }

  /** Null for a table that is not to be compared, which is no fault of the stream's. */
  async run(
    snapshot: DatabaseSnapshot,
    sums: ReadonlyMap<number, BucketSum>,
    showKeys: boolean,
  ): Promise<TableReport | null> {
    const { table } = this.#table.schema;
    const rows = Number([...sums.values()].reduce((total, sum) => total + sum.rows, 0n));
    const unfoldable = this.#fold.obstacle(table);
    if (unfoldable !== null && this.#hasLeft() && this.#fold.isGivenUp(table)) {
      const what = `Table ${table} left the publication while it was read by a snapshot; it is not compared.`;
      this.#findings.add("TABLE_LEFT", what, { table });
      return null;
    }
    if (unfoldable !== null) {
      this.#findings.add("TABLE_NOT_FOLDED", `Table ${table} was not compared: ${unfoldable}.`, { table });
      return { table, rows, equal: false };
    }
    const differing = this.#differing(sums);
    if (differing.length > 0) {
      await this.#compareRows(snapshot, new Set(differing), showKeys);
    }
    return { table, rows, equal: this.#wrong + this.#rowsUnseen + this.#valuesUnseen === 0 };
  }

  #hasLeft(): boolean {
    const { schema, described } = this.#table;
    return described.publicationRel === null && schema.publicationRel !== null;
  }

  #differing(sums: ReadonlyMap<number, BucketSum>): number[] {
    const rows = new Float64Array(BUCKETS);
    const high = new Array<bigint>(BUCKETS).fill(0n);
    const low = new Array<bigint>(BUCKETS).fill(0n);
    for (const folded of this.#folded?.rows.all() ?? []) {
      if (folded.row !== null && folded.count !== 0) {
        const digest = digestOf(this.#comparable(folded));
        const bucket = bucketOf(folded.key);
        const count = BigInt(folded.count);
        rows[bucket]! += folded.count;
        high[bucket]! += count * digest.readBigInt64BE(0);
        low[bucket]! += count * digest.readBigInt64BE(8);
      }
    }
    const differing: number[] = [];
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const sum = sums.get(bucket);
      const equal =
        BigInt(rows[bucket]!) === (sum?.rows ?? 0n) &&
        high[bucket] === (sum?.high ?? 0n) &&
        low[bucket] === (sum?.low ?? 0n);
      if (!equal) {
        differing.push(bucket);
      }
    }
    return differing;
  }

  /** The row as the server writes it: the compared columns, those that the row's shape lacked as NULL. */
  #comparable({ row, schema }: FoldedRow): string {
    const shape = this.#shapeOf(schema)!;
    const { columns } = this.#table;
    const same =
      shape.columns.length === columns.length &&
      shape.columns.every(({ name, oid }, at) => name === columns[at]!.name && haveSameForm(oid, columns[at]!.oid));
    if (same) {
      return row!;
    }
    const tokens = this.#tokens(row!, shape);
    return columns.map(({ name }) => tokens.get(name) ?? NULL_TOKEN).join(",");
  }

  #tokens(row: string, shape: Shape): Map<string, string> {
    const tokens = splitRow(row, shape.columns);
    const now = new Map(this.#table.columns.map(({ name, oid }) => [name, oid]));
    return new Map(
      shape.columns.map(({ name, oid }, at) => [name, convertToken(tokens[at]!, oid, now.get(name) ?? oid)]),
    );
  }

  /** Both sides come in the order of the keys' digests, so neither is held. */
  async #compareRows(snapshot: DatabaseSnapshot, buckets: ReadonlySet<number>, showKeys: boolean): Promise<void> {
    const folded = (this.#folded?.rows.inBuckets(buckets) ?? [])[Symbol.iterator]();
    let mine = folded.next();
    for await (const theirs of snapshot.rows(this.#table, [...buckets], showKeys)) {
      if (!buckets.has(bucketOf(theirs.key))) {
        continue;
      }
      while (mine.done !== true && Buffer.compare(mine.value.key, theirs.key) < 0) {
        this.#onlyInStream(mine.value);
        mine = folded.next();
      }
      if (mine.done !== true && Buffer.compare(mine.value.key, theirs.key) === 0) {
        this.#inBoth(mine.value, theirs);
        mine = folded.next();
      } else {
        this.#onlyInDatabase(theirs);
      }
    }
    for (; mine.done !== true; mine = folded.next()) {
      this.#onlyInStream(mine.value);
    }
    this.#tellUnseen();
  }

  #onlyInStream(folded: FoldedRow): void {
    if (folded.row === null || folded.count === 0) {
      return;
    }
    const what =
      folded.count > 0
        ? "The stream holds a row that the table doesn't have."
        : "The stream removed a row more often than it wrote it; it is older than the stream, or its event is missing.";
    // Below zero: a row that is older than the stream and was removed, which is as it should be.
    if (folded.count > 0 || this.#folded!.truncated) {
      this.#tell("ROW_NOT_IN_DATABASE", what, this.#place(folded));
    }
  }

  #onlyInDatabase({ count, shown }: DatabaseRow): void {
    if (this.#folded?.truncated === true) {
      const what = "The table has a row that the stream doesn't hold, though all older ones were truncated.";
      const { table } = this.#table.schema;
      this.#tell(
        "ROW_NOT_IN_STREAM",
        what,
        shown === null ? { table } : { table, key: showKey(this.#table.key, shown) },
      );
    } else {
      this.#rowsUnseen += count;
    }
  }

  #inBoth(folded: FoldedRow, theirs: DatabaseRow): void {
    const place = this.#place(folded, theirs.shown);
    if (this.#table.sql.key === null) {
      this.#compareCounts(folded, theirs, place);
    } else if (folded.row === null) {
      const what = "The table has a row that was deleted by the event that the stream holds last of its key.";
      this.#tell("ROW_NOT_IN_STREAM", what, place);
    } else if (this.#comparable(folded) !== theirs.content) {
      this.#compareColumns(folded.row, folded.schema, theirs.content, place);
    }
  }

  #compareCounts(folded: FoldedRow, theirs: DatabaseRow, place: FindingDetails): void {
    if (folded.count > theirs.count) {
      const what = `The stream holds a row ${folded.count} times, the table ${theirs.count} times.`;
      this.#tell("ROW_NOT_IN_DATABASE", what, place);
    } else if (folded.count < theirs.count && this.#folded!.truncated) {
      const what = `The table has a row ${theirs.count} times, the stream holds it ${folded.count} times.`;
      this.#tell("ROW_NOT_IN_STREAM", what, place);
    } else {
      this.#rowsUnseen += theirs.count - Math.max(0, folded.count);
    }
  }

  #compareColumns(row: string, schema: number, content: string, place: FindingDetails): void {
    const shape = this.#shapeOf(schema)!;
    const mine = this.#tokens(row, shape);
    const theirs = splitRow(content, this.#table.columns);
    const wrong: string[] = [];
    const unseen: string[] = [];
    for (const [at, { name }] of this.#table.columns.entries()) {
      const token = mine.get(name);
      if (token === undefined ? theirs[at] !== NULL_TOKEN : token === UNKNOWN_TOKEN) {
        unseen.push(name);
      } else if (token !== undefined && token !== theirs[at]) {
        wrong.push(name);
      }
    }
    if (wrong.length > 0) {
      const what = `A row differs in ${wrong.join(", ")} from what its last event says.`;
      this.#tell("ROW_DIFFERS", what, { ...place, columns: wrong });
    } else if (unseen.length > 0) {
      this.#valuesUnseen++;
      for (const name of unseen) {
        this.#columnsUnseen.add(name);
      }
    }
  }

  #tell(
    kind: "ROW_DIFFERS" | "ROW_NOT_IN_DATABASE" | "ROW_NOT_IN_STREAM",
    what: string,
    details: FindingDetails,
  ): void {
    this.#wrong++;
    this.#findings.add(kind, what, details);
  }

  #tellUnseen(): void {
    const { table } = this.#table.schema;
    if (this.#rowsUnseen > 0) {
      const what = `${this.#rowsUnseen} rows of ${table} are not in the stream and never were: they are older than its start, or their events are missing.`;
      this.#findings.add("ROWS_UNSEEN", what, { table });
    }
    if (this.#valuesUnseen > 0) {
      const columns = [...this.#columnsUnseen].sort();
      const what = `${this.#valuesUnseen} rows of ${table} have values in ${columns.join(", ")} that the stream never held: large ones that did not change since its start, or of columns that were added or renamed after the row's last event.`;
      this.#findings.add("VALUES_UNSEEN", what, { table, columns });
    }
  }

  #place({ partition, offset, sequence }: FoldedRow, shown: string | null = null): FindingDetails {
    const place = { table: this.#table.schema.table, topic: this.#folded!.topic, partition, offset, sequence };
    return shown === null ? place : { ...place, key: showKey(this.#table.key, shown) };
  }
}

const bucketOf = (key: Uint8Array): number => key[0]! * 256 + key[1]!;
