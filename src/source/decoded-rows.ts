// Rows as the driver decodes them: how much they hold, and whether they are what the server has.
import { AfterimageError } from "../errors.ts";
import { formatTableName } from "../event/identifier.ts";
import type { Described } from "./chunk-sql.ts";

/** Before PostgreSQL 16 their upper half is printed as single bytes, whatever the encoding is. */
const SINGLE_BYTES = new Set(['"char"', '"char"[]']);

/** Places of the columns that may hold what is not UTF-8: all of a database without a declared encoding. */
export function doubtfulPlaces(
  columns: readonly string[],
  { asciiOnly, columns: described }: Pick<Described, "asciiOnly" | "columns">,
): number[] {
  return columns.flatMap((name, place) =>
    asciiOnly || SINGLE_BYTES.has(described.get(name)?.type ?? "") ? [place] : [],
  );
}

/** Characters. */
export const lengthOf = (row: readonly (string | null)[]): number =>
  row.reduce((sum, value) => sum + (value?.length ?? 0), 0);

/**
 * The driver puts U+FFFD where it can't decode. `doubtful`: places of the columns that may hold what is not UTF-8, and
 * can't hold that sign, or hardly. Throws TEXT_UNDECODABLE.
 */
export function checkDecoded(
  { schema, table }: { readonly schema: string; readonly table: string },
  row: readonly (string | null)[],
  doubtful: readonly number[],
): void {
  if (doubtful.some((place) => row[place]?.includes("\uFFFD") === true)) {
    throw new AfterimageError(
      "TEXT_UNDECODABLE",
      `A row of ${formatTableName(schema, table)} holds bytes that are not UTF-8.`,
      "Correct the value (find it with convert_from(value::bytea, 'UTF8')), or exclude the table.",
    );
  }
}
