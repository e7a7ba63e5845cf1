// Relation → table: is it captured, which topic, which schema id. Keeps every schema the stream has recorded.
import type pg from "pg";
import type { Resolution } from "../capture/relation-cache.ts";
import { keyOf, sameShape, shapeOf, type TableShape } from "../capture/table-shape.ts";
import { matchesTable } from "../config/table-patterns.ts";
import { formatTableName, parseTableName } from "../event/identifier.ts";
import { ZERO_LSN } from "../event/lsn.ts";
import { RowEncoder } from "../event/row-encoder.ts";
import { holdsSameRows, type RowsState, type TableSchema } from "../event/schema.ts";
import type { Relation } from "../pgoutput/messages.ts";
import type { Topics } from "../sink/topics.ts";
import { describeTable, type PublishedTable, readTypeNames, type TableDescription } from "../source/catalog.ts";
import { readMadeTypes } from "../source/made-types.ts";
import { readRowsStates } from "../source/rows-state.ts";
import { CAPTURE_ENDED, renamed } from "./continuity.ts";
import { readFormerKey } from "./former-key.ts";

export interface TableSelection {
  readonly tables: readonly string[];
  readonly keyless: readonly string[];
  readonly onRewrite: "snapshot" | "halt";
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

  /** The schemas in force of the tables that are captured: of one that was renamed only that of its last name. */
  inForce(): TableSchema[] {
    const latest = this.latest();
    const newest = newestByOid(latest);
    return latest.filter(
      ({ oid, schema, publicationRel }) => publicationRel !== CAPTURE_ENDED && newest.get(oid)!.schema === schema,
    );
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
   * What to do with rows of this relation. Throws the errors of `shapeOf` and `Topics.ensureTable`, and TABLE_RENAMED
   * when renamed tables shall halt.
   */
  resolve(relation: Relation): Promise<Resolution> {
    return this.#resolve(relation, false);
  }

  async #resolve(relation: Relation, keepKey: boolean): Promise<Resolution> {
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
    const rows = await this.#rowsStateOf(relation.oid, previous);
    this.#checkName(name, relation.oid);
    const keyless = matchesTable(this.#selection.keyless, relation.schema, relation.table);
    const facts = described === null ? null : { ...described, rows };
    // A table that nothing was ever recorded of, and that is gone: nobody can tell its key any more, nor will anybody miss it.
    const unknown = described === null && previous === null ? [] : null;
    const former = (await this.#formerKey(relation, described)) ?? unknown;
    const same = previous?.oid === relation.oid ? previous : null;
    let shape = shapeOf(relation, facts, same, typeNames, keyless, former);
    if (keepKey && previous !== null && keyOf(previous).join("\0") !== keyOf(shape).join("\0")) {
      const { table, oid, identity, readAt, columns } = previous;
      const { publicationRel } = shape;
      shape = { table, oid, publicationRel, identity, readAt, rows, columns };
    }
    shape = { ...shape, types: await this.#madeTypesOf(shape) };
    const topicName = this.#topics.nameOf(relation.schema, relation.table);
    if (previous === null) {
      await this.#topics.checkUnused(topicName);
    }
    const topic = await this.#topics.ensureTable(topicName);
    const schema = this.#versionOf({ ...shape, topicId: topic.id });
    return { encoder: new RowEncoder(schema), topic: topic.name, partitions: topic.partitions };
  }

  /**
   * The schema of a published table before its first row, so that its continuity is recorded from the start. `keepKey`:
   * rows may still come that are older than another key that it has by now.
   */
  async register(table: PublishedTable, { keepKey = false } = {}): Promise<Resolution> {
    const marked = table.identity === "d" ? table.primaryKey : table.identity === "i" ? table.identityIndex : null;
    const relation: Relation = {
      kind: "relation",
      oid: table.oid,
      schema: table.schema,
      table: table.table,
      identity: table.identity,
      columns: table.columns.map((column) => ({
        ...column,
        identity: table.identity === "f" || (marked?.immediate === true && marked.columns.includes(column.name)),
      })),
    };
    return this.#resolve(relation, keepKey);
  }

  /** The same table as it was recorded last, with what the catalogue says now of its rows and of its publication. */
  async observed(schema: TableSchema, publicationRel: number | null, rows: RowsState): Promise<Resolution> {
    const name = parseTableName(schema.table);
    const topic = await this.#topics.ensureTable(this.#topics.nameOf(name.schema, name.table));
    const types = await this.#madeTypesOf(schema);
    const version = this.#versionOf({
      ...schema,
      publicationRel: publicationRel ?? schema.publicationRel,
      rows,
      types,
    });
    return { encoder: new RowEncoder(version), topic: topic.name, partitions: topic.partitions };
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

  async #rowsStateOf(oid: number, previous: TableSchema | null): Promise<RowsState | undefined> {
    const recorded = previous?.oid === oid ? previous.rows : undefined;
    return (await readRowsStates(this.#client, this.#publication, [oid], () => recorded)).get(oid);
  }

  #madeTypesOf({ columns }: Pick<TableSchema, "columns">): Promise<TableSchema["types"]> {
    return readMadeTypes(
      this.#client,
      columns.map(({ oid }) => oid),
    );
  }

  /** What tells rows apart that came before the key of the catalogue, as far as it was recorded or can be found out. */
  #formerKey(relation: Relation, described: TableDescription | null): Promise<readonly string[] | null> {
    const recorded = [...this.#versions.values()].flat().filter(({ oid }) => oid === relation.oid);
    return readFormerKey(this.#client, this.#publication, relation, described, recorded);
  }

  // An old shape is announced again when WAL is sent a second time: it keeps its id. Not one from before the table had
  // another key, or was another table: the record written last has to tell which of them the last events are of.
  #versionOf(shape: TableShape & { topicId: string }): TableSchema {
    const versions = this.#versions.get(shape.table) ?? [];
    const other = versions.findLastIndex(
      (version) => version.oid !== shape.oid || keyOf(version).join("\0") !== keyOf(shape).join("\0"),
    );
    const known = versions.slice(other + 1).findLast((version) => sameShape(version, shape));
    if (known !== undefined && newestByOid(this.latest()).get(shape.oid)!.table !== shape.table) {
      return this.#added(shape); // it was called otherwise in between
    }
    if (known !== undefined) {
      return known;
    }
    const last = versions.at(-1);
    // What was read of key and columns then still holds, for rows that were written since too.
    return this.#added(last !== undefined && holdsSameRows(last, shape) ? { ...shape, readAt: last.readAt } : shape);
  }

  #added(shape: TableShape & { topicId: string }): TableSchema {
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

  /** Under its new name it is a table of its own, unless it shall halt. */
  #checkName(name: string, oid: number): void {
    const former = this.inForce().find((schema) => schema.oid === oid && schema.table !== name);
    if (former !== undefined && this.#selection.onRewrite === "halt") {
      throw renamed(former.table, name);
    }
  }
}

/** What was recorded last of each table, under whatever name. */
export function newestByOid(latest: readonly TableSchema[]): ReadonlyMap<number, TableSchema> {
  const newest = new Map<number, TableSchema>();
  for (const schema of latest) {
    if ((newest.get(schema.oid)?.schema ?? 0) < schema.schema) {
      newest.set(schema.oid, schema);
    }
  }
  return newest;
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
