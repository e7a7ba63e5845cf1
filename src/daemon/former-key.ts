// The key of rows that are older than the catalogue's, whose key columns may have had other names then, or not have been
// there. Under REPLICA IDENTITY FULL only the catalogue tells the key; else pgoutput marks its columns, and only whether
// they are all of the key is to be found out.
import type pg from "pg";
import { isSent, keyOf, markedColumns, sameSet } from "../capture/table-shape.ts";
import type { TableSchema } from "../event/schema.ts";
import type { Relation } from "../pgoutput/messages.ts";
import { readNotNull, readPublishedTables, type TableDescription } from "../source/catalog.ts";

/**
 * `recorded`: all that was recorded of the table, under whatever name. Null when the key of now is there, when the
 * publication leaves it out, and when nothing can be told.
 */
export async function readFormerKey(
  client: pg.Client,
  publication: number,
  relation: Relation,
  described: TableDescription | null,
  recorded: readonly TableSchema[],
): Promise<readonly string[] | null> {
  const index = relation.identity === "i" ? described?.identityIndex : described?.primaryKey;
  const now = index?.columns ?? [];
  if (relation.identity === "n" || (described !== null && isSent(now, relation))) {
    return null;
  }
  const marked = relation.identity === "f" ? null : markedColumns(relation);
  const last = recorded
    .toSorted((a, b) => b.schema - a.schema)
    .map(keyOf)
    .find((key) => key.length > 0 && (marked === null ? isSent(key, relation) : sameSet(key, marked)));
  if (last !== undefined || described === null) {
    return last ?? null;
  }
  const [published] = await readPublishedTables(client, publication, [relation.oid]);
  const places = now.map((name) => published?.columns.findIndex((column) => column.name === name) ?? -1);
  if (published === undefined || places.includes(-1)) {
    return null;
  }
  // Where nothing was recorded of the table, another key after a guessed one would be answered by nothing.
  return marked ?? (recorded.length === 0 ? null : guess(client, relation, published.columns, places));
}

/**
 * Columns that took the place of the key of now. It need not be right: as soon as rows come with the key of now, or the
 * table is read, the stream meets another key, and whatever was published with this one is followed by a gap, all rows,
 * and a sweep.
 */
async function guess(
  client: pg.Client,
  relation: Relation,
  now: readonly { readonly name: string; readonly typeOid: number }[],
  places: readonly number[],
): Promise<readonly string[] | null> {
  // Renaming leaves a column in its place.
  const isRenamed = relation.columns.every((column, place) => {
    const same = places.includes(place) ? "typeOid" : "name";
    return column[same] === now[place]?.[same];
  });
  if (isRenamed && places.every((place) => place < relation.columns.length)) {
    return places.map((place) => relation.columns[place]!.name);
  }
  // A column stays NOT NULL when its primary key is dropped.
  const notNull = await readNotNull(client, relation.oid);
  const found = relation.columns.map(({ name }) => name).filter((name) => notNull.has(name));
  return found.length === 0 ? null : found;
}
