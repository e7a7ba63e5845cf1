// Is every captured table still the one it was, and published all the time? Asked at the start, before anything is
// written, and every few seconds while streaming: what left the publication and came back lost rows without a word.
import { AfterimageError } from "../errors.ts";
import { formatTableName } from "../event/identifier.ts";
import type { TableSchema } from "../event/schema.ts";
import type { TableDescription } from "../source/catalog.ts";
import { NEW_EPOCH } from "./start-checks.ts";

/** `publicationRel` of a schema record that says: the configuration excluded this table here. */
export const CAPTURE_ENDED = 0;

type Facts = Pick<TableDescription, "oid" | "schema" | "table" | "publicationRel">;

/**
 * Holds the schema in force of every captured table against the catalogue, and gives what an operator should know. Where
 * such tables shall halt: throws TABLE_RENAMED or TABLE_REPUBLISHED.
 */
export function checkContinuity(
  recorded: readonly TableSchema[],
  now: readonly Facts[],
  onRewrite: "snapshot" | "halt" = "halt",
): string[] {
  const byOid = new Map(now.map((table) => [table.oid, table]));
  return recorded.flatMap((schema) => {
    const table = byOid.get(schema.oid);
    if (table === undefined) {
      return [`Table ${schema.table} was dropped; what was written to it until then is in the stream.`];
    }
    const name = formatTableName(table.schema, table.table);
    if (onRewrite === "halt") {
      if (name !== schema.table) {
        throw renamed(schema.table, name);
      }
      checkMembership(schema, table.publicationRel);
    } else if (name !== schema.table) {
      return [`Table ${schema.table} is called ${name} now: what was written to it until then is in the stream.`];
    }
    return table.publicationRel !== null || schema.publicationRel === null
      ? []
      : [`Table ${schema.table} left the publication: rows written since then are not in the stream.`];
  });
}

/** A table that is out of the publication now only ends; one that is in it by another row was out in between. */
export function checkMembership(schema: TableSchema, publicationRel: number | null): void {
  if (publicationRel !== null && publicationRel !== schema.publicationRel) {
    throw republished(schema.table);
  }
}

export function renamed(before: string, now: string): AfterimageError {
  return new AfterimageError(
    "TABLE_RENAMED",
    `Table ${before} is now called ${now}: its rows up to here are in another topic.`,
    `Rename it back. Or leave it: ${NEW_EPOCH} Its old name then ends with a gap.`,
  );
}

export function republished(table: string): AfterimageError {
  return new AfterimageError(
    "TABLE_REPUBLISHED",
    `Table ${table} was dropped and made again, or taken out of the capture and put back: rows written in between are missing from the stream.`,
    `${NEW_EPOCH} Or exclude it ("!${table}"), or rebuild the stream: afterimage drop STREAM --topics, then start.`,
  );
}
