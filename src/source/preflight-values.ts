// What of a table's values would not arrive, or can't be read: TOAST, generated columns, rights, foreign partitions.
import type pg from "pg";
import { formatTableName, quoteIdentifier } from "../event/identifier.ts";
import { type Finding, inTurn, note, problem, remedy, type Step, sql, warning } from "./finding.ts";
import type { PublicationFacts } from "./preflight-publication.ts";
import { exclusion, type InspectedTable } from "./preflight-tables.ts";

/** Statements of a finding that concerns many tables; the others are counted. */
const MOST_STEPS = 20;

/**
 * Tables with values outside their rows: an UPDATE that doesn't touch one sends no value for it, unless the identity is
 * FULL. https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html (TupleData, byte 'u')
 */
export function judgeToast(tables: readonly InspectedTable[], changes: boolean): Finding[] {
  const affected = changes ? tables.filter(({ toasted, identity }) => toasted && identity !== "f") : [];
  if (affected.length === 0) return [];
  return [
    note(
      "TOAST_UNCHANGED",
      `${listed(affected)} hold large values outside their rows (TOAST): an UPDATE that leaves one as it is says "unchanged" in place of it. Views of the SDK keep theirs; who reads the topics must do so too.`,
      remedy`To have whole rows, at the cost of more WAL: ${inTurn(
        affected.slice(0, MOST_STEPS).map((table) => sql(`ALTER TABLE ${sqlName(table)} REPLICA IDENTITY FULL;`)),
      )}`,
    ),
  ];
}

/** Stored generated columns that the publication leaves out. */
export function judgeGeneratedColumns(
  tables: readonly InspectedTable[],
  facts: PublicationFacts | null,
  { publication, version }: { readonly publication: string; readonly version: number },
): Finding[] {
  const affected = facts?.generated === "s" ? [] : tables.filter(({ generated }) => generated.length > 0);
  if (affected.length === 0) return [];
  const what = `Generated columns of ${listed(affected)} are not in the stream.`;
  if (version < 180_000) {
    return [note("GENERATED_COLUMNS", what, "PostgreSQL before 18 sends none: let readers compute them.")];
  }
  const options = "(publish_generated_columns = stored);";
  const name = quoteIdentifier(publication);
  return [
    note(
      "GENERATED_COLUMNS",
      what,
      facts === null
        ? `Let readers compute them; or have the publication made before the first start WITH ${options}`
        : remedy`Let readers compute them; or send the stored ones, and accept PUBLICATION_CHANGED at the next start: ${sql(`ALTER PUBLICATION ${name} SET ${options}`)}`,
    ),
  ];
}

/** Rights that a snapshot of these tables needs. An error before the first start, when they would all be read. */
export function judgeReadable(tables: readonly InspectedTable[], user: string, isFirst: boolean): Finding[] {
  const affected = tables.filter(({ lacks }) => lacks.usage || lacks.select || lacks.bypass);
  if (affected.length === 0) return [];
  const role = quoteIdentifier(user);
  const schemas = new Set(affected.filter(({ lacks }) => lacks.usage).map(({ schema }) => quoteIdentifier(schema)));
  const selects = affected.filter(({ lacks }) => lacks.select).map(sqlName);
  const steps: Step[] = [
    ...[...schemas].map((schema) => sql(`GRANT USAGE ON SCHEMA ${schema} TO ${role};`)),
    ...(selects.length === 0 ? [] : [sql(`GRANT SELECT ON ${selects.join(", ")} TO ${role};`)]),
    ...(affected.some(({ lacks }) => lacks.bypass) ? [sql(`ALTER ROLE ${role} BYPASSRLS;`)] : []),
  ];
  return [
    (isFirst ? problem : warning)(
      "SNAPSHOT_NOT_ALLOWED",
      `User ${user} may not read all rows of ${listed(affected)}, which snapshot: initial reads when they are new to the stream.`,
      remedy`${inTurn(steps)} Or set snapshot: never.`,
    ),
  ];
}

/** Foreign tables that are partitions of a captured table: their rows are on another server, and in no WAL of this one. */
export async function findForeignPartitions(
  client: pg.Client,
  captures: (table: Pick<InspectedTable, "schema" | "table" | "ancestors">) => boolean,
): Promise<Finding[]> {
  const { rows } = await client.query(`
    SELECT n.nspname AS schema, c.relname AS table,
           (SELECT json_agg(json_build_object('schema', pn.nspname, 'table', p.relname))
              FROM pg_partition_ancestors(c.oid) AS up(relid)
              JOIN pg_class p ON p.oid = up.relid AND p.oid <> c.oid
              JOIN pg_namespace pn ON pn.oid = p.relnamespace) AS ancestors
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'f' AND c.relispartition ORDER BY 1, 2`);
  return rows.filter(captures).map(({ schema, table }) => {
    const name = formatTableName(schema, table);
    return warning(
      "PARTITION_FOREIGN",
      `Partition ${name} is a foreign table: what is written to it is in no WAL of this server and not captured.`,
      `Run a stream of its own on that server; here add ${exclusion(name)} to tables.`,
    );
  });
}

const sqlName = ({ schema, table }: InspectedTable): string => `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;

function listed(tables: readonly InspectedTable[]): string {
  const names = tables.slice(0, MOST_STEPS).map(({ schema, table }) => formatTableName(schema, table));
  const rest = tables.length - names.length;
  return `${names.join(", ")}${rest === 0 ? "" : ` and ${rest} more`}`;
}
