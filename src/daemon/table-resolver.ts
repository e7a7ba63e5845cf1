// Relation → table: is it captured, which topic, which schema id. Keeps every schema the stream has recorded.
import type pg from "pg";
import type { Resolution } from "../capture/relation-cache.ts";
import { sameShape, shapeOf, type TableShape } from "../capture/table-shape.ts";
import { matchesTable } from "../config/table-patterns.ts";
import { formatTableName, parseTableName } from "../event/identifier.ts";
import { ZERO_LSN } from "../event/lsn.ts";
import { RowEncoder } from "../event/row-encoder.ts";
import type { TableSchema } from "../event/schema.ts";
import type { Relation } from "../pgoutput/messages.ts";
import type { Topics } from "../sink/topics.ts";
import { describeTable, type PublishedTable, readTypeNames, type TableDescription } from "../source/catalog.ts";
import { CAPTURE_ENDED, checkMembership, renamed, republished } from "./continuity.ts";

export interface TableSelection {
  readonly tables: readonly string[];
  readonly keyless: readonly string[];
}

export class TableResolver {
  readonly #client: pg.Client;
  readonly #publication: number;
  readonly #selection: TableSelection;
  readonly #topics: Topics;
  /** Every recorded version of a table, oldest first. */
  readonly #versions = new Map<string, TableSchema[]>();
  #nextId = 1;

  constructor(
    client: pg.Client,
    publication: number,
    selection: TableSelection,
    topics: Topics,
    recorded: readonly TableSchema[],
  ) {
    this.#client = client;
    this.#publication = publication;
    this.#selection = selection;
    this.#topics = topics;
    for (const schema of recorded) {
      this.#record(schema);
    }
  }

  /** The version of every table that was recorded last. */
  latest(): TableSchema[] {
    return [...this.#versions.values()].map((versions) => versions.at(-1)!);
  }

  /** The schemas in force of the tables that are captured. */
  inForce(): TableSchema[] {
    return this.latest().filter(({ publicationRel }) => publicationRel !== CAPTURE_ENDED);
  }

  /** The tables that are captured now, with their topics. */
  captured(): { table: string; topic: string }[] {
    return this.inForce().map(({ table }) => {
      const name = parseTableName(table);
      return { table, topic: this.#topics.nameOf(name.schema, name.table) };
    });
  }

  isCaptured(table: Pick<TableDescription, "schema" | "table" | "ancestors">): boolean {
    return isSelected(this.#selection.tables, table);
  }

  /**
   * What to do with rows of this relation. Throws the errors of `shapeOf` and `Topics.ensureTable`, TABLE_RENAMED and
   * TABLE_REPUBLISHED.
   */
  async resolve(relation: Relation): Promise<Resolution> {
    const described = await describeTable(this.#client, this.#publication, relation.oid);
    const name = formatTableName(relation.schema, relation.table);
    const previous = this.#versions.get(name)?.at(-1) ?? null;
    // These rows may be older than the catalogue: a table that was renamed, detached or dropped meanwhile is judged by
    // what was recorded of it, and by the name that the WAL gives it.
    const known = previous !== null && previous.publicationRel !== CAPTURE_ENDED;
    const captured = known || this.isCaptured({ ...relation, ancestors: described?.ancestors ?? [] });
    const typeNames = await readTypeNames(
      this.#client,
      relation.columns.map(({ typeOid }) => typeOid),
    );
    if (!captured) {
      // Its rows are counted, and must count the same after a restart: only what pgoutput says decides, never the
      // catalogue, which may have changed by then.
      const shape = shapeOf(relation, UNKNOWN, null, typeNames, relation.identity === "f");
      return { encoder: new RowEncoder({ ...shape, schema: 0, topicId: "" }), topic: null };
    }
    this.#checkSameTable(name, relation.oid, previous);
    if (previous !== null && described !== null) {
      checkMembership(previous, described.publicationRel);
    }
    const keyless = matchesTable(this.#selection.keyless, relation.schema, relation.table);
    const shape = shapeOf(relation, described, previous, typeNames, keyless);
    const topicName = this.#topics.nameOf(relation.schema, relation.table);
    if (previous === null) {
      await this.#topics.checkUnused(topicName);
    }
    const topic = await this.#topics.ensureTable(topicName);
    const schema = this.#versionOf({ ...shape, topicId: topic.id });
    return { encoder: new RowEncoder(schema), topic: topic.name, partitions: topic.partitions };
  }

  /** The schema of a published table before its first row, so that its continuity is recorded from the start. */
  async register(table: PublishedTable): Promise<Resolution> {
    const marked = table.identity === "d" ? table.primaryKey : table.identity === "i" ? table.identityIndex : null;
    return this.resolve({
      kind: "relation",
      oid: table.oid,
      schema: table.schema,
      table: table.table,
      identity: table.identity,
      columns: table.columns.map((column) => ({
        ...column,
        identity: table.identity === "f" || (marked?.immediate === true && marked.columns.includes(column.name)),
      })),
    });
  }

  /** A record that ends the capture of a table that the configuration now excludes. */
  end(schema: TableSchema): TableSchema {
    const ended = { ...schema, schema: this.#nextId, publicationRel: CAPTURE_ENDED };
    this.#record(ended);
    return ended;
  }

  /**
   * For a new epoch: takes over what was recorded of tables that are published now, though they were made again or were
   * out of the publication, and ends the capture of the others. Gives the records that this adds.
   */
  renew(published: readonly PublishedTable[]): { ended: TableSchema[]; renewed: TableSchema[] } {
    const now = new Map(published.map((table) => [formatTableName(table.schema, table.table), table]));
    const ended = this.inForce()
      .filter(({ table }) => !now.has(table))
      .map((schema) => this.end(schema));
    const renewed: TableSchema[] = [];
    for (const before of this.latest()) {
      const table = now.get(before.table);
      if (table !== undefined && (table.oid !== before.oid || table.publicationRel !== before.publicationRel)) {
        const { oid, publicationRel } = table;
        const schema = { ...before, schema: this.#nextId, oid, publicationRel };
        this.#record(schema);
        renewed.push(schema);
      }
    }
    return { ended, renewed };
  }

  // An old shape is announced again when WAL is sent a second time: it keeps its id.
  #versionOf(shape: TableShape & { topicId: string }): TableSchema {
    const known = this.#versions.get(shape.table)?.findLast((version) => sameShape(version, shape));
    if (known !== undefined) {
      return known;
    }
    const schema = { ...shape, schema: this.#nextId };
    this.#record(schema);
    return schema;
  }

  #record(schema: TableSchema): void {
    const versions = this.#versions.get(schema.table);
    if (versions === undefined) {
      this.#versions.set(schema.table, [schema]);
    } else {
      versions.push(schema);
    }
    this.#nextId = Math.max(this.#nextId, schema.schema + 1);
  }

  #checkSameTable(name: string, oid: number, previous: TableSchema | null): void {
    const before = this.inForce().find((schema) => schema.oid === oid && schema.table !== name);
    if (before !== undefined) {
      throw renamed(before.table, name);
    }
    if (previous !== null && previous.oid !== oid) {
      throw republished(name);
    }
  }
}

const UNKNOWN = { publicationRel: null, primaryKey: null, identityIndex: null, readAt: ZERO_LSN };

/** Whether a pattern that begins with `!` names the table. */
export function isExcluded(patterns: readonly string[], { schema, table }: { schema: string; table: string }): boolean {
  const all = ["*.*", ...patterns.filter((pattern) => pattern.trim().startsWith("!"))];
  return !matchesTable(all, schema, table);
}

/** A partition is captured by its own name or by that of a table it is part of, unless its own name is excluded. */
export function isSelected(
  patterns: readonly string[],
  table: Pick<TableDescription, "schema" | "table" | "ancestors">,
): boolean {
  if (matchesTable(patterns, table.schema, table.table)) {
    return true;
  }
  return (
    !isExcluded(patterns, table) &&
    table.ancestors.some((ancestor) => matchesTable(patterns, ancestor.schema, ancestor.table))
  );
}
