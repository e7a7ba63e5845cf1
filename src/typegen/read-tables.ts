// Which tables the stream has, with their columns and keys, as the catalogue tells now: those of its publication, or,
// while there is none, those that the settings name.
import type pg from "pg";
import { formatTableName } from "../event/identifier.ts";
import {
  describeTables,
  readCandidateTables,
  readPartitions,
  readPublishedTables,
  type TableDescription,
} from "../source/catalog.ts";
import { readPublication } from "../source/publication.ts";
import { type CatalogAttribute, type CatalogType, readColumns, readTypes } from "../source/type-catalog.ts";

export interface TypedTable {
  /** As in an event. */
  readonly name: string;
  /** In key order. */
  readonly key: readonly string[];
  readonly columns: readonly CatalogAttribute[];
}

export interface TypedCatalog {
  /** By name. */
  readonly tables: readonly TypedTable[];
  readonly types: ReadonlyMap<number, CatalogType>;
}

export interface TableChoice {
  readonly publication: string;
  readonly selects: (table: TableDescription) => boolean;
  readonly isKeyless: (table: TableDescription) => boolean;
}

export async function readTypedCatalog(client: pg.Client, choice: TableChoice): Promise<TypedCatalog> {
  const published = await readPublication(client, choice.publication);
  const sent = published === null ? null : await readPublishedTables(client, published.oid);
  const found = (sent ?? (await readUnpublished(client))).filter(choice.selects);
  const columns = await readColumns(
    client,
    found.map(({ oid }) => oid),
  );
  const sentColumns = new Map(sent?.map(({ oid, columns }) => [oid, new Set(columns.map(({ name }) => name))]));
  const tables = found.map((table): TypedTable => {
    const listed = sentColumns.get(table.oid);
    return {
      name: formatTableName(table.schema, table.table),
      key: choice.isKeyless(table) ? [] : keyOf(table),
      // A publication leaves generated columns out unless it is told otherwise.
      columns: (columns.get(table.oid) ?? []).filter(({ name, generated }) => listed?.has(name) ?? !generated),
    };
  });
  tables.sort((a, b) => (a.name < b.name ? -1 : 1));
  const types = await readTypes(
    client,
    tables.flatMap((table) => table.columns.map(({ typeOid }) => typeOid)),
  );
  return { tables, types };
}

/** Whether rows of a partitioned table go by its name or by those of its partitions, a publication would tell. */
async function readUnpublished(client: pg.Client): Promise<TableDescription[]> {
  const partitions = await describeTables(client, 0, await readPartitions(client));
  return [...(await readCandidateTables(client)), ...partitions];
}

function keyOf({ identity, primaryKey, identityIndex }: TableDescription): readonly string[] {
  const index = identity === "i" ? identityIndex : identity === "n" ? null : primaryKey;
  return index?.immediate === true ? index.columns : [];
}
