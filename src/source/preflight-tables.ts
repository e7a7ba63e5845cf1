// Which tables can be captured: read from the catalogue, judged without a server.
// https://www.postgresql.org/docs/current/logical-replication-publication.html#LOGICAL-REPLICATION-PUBLICATION-REPLICA-IDENTITY
import type pg from "pg";
import { formatTableName, quoteIdentifier } from "../event/identifier.ts";
import type { ReplicaIdentity } from "../event/schema.ts";
import { type Finding, inTurn, problem, type Remedy, remedy, sql, warning } from "./finding.ts";

export interface InspectedIndex {
  readonly name: string;
  readonly primary: boolean;
  /** Named by REPLICA IDENTITY USING INDEX. */
  readonly identity: boolean;
  /** False for a DEFERRABLE constraint's. */
  readonly immediate: boolean;
  /** Could be named by REPLICA IDENTITY USING INDEX: unique, immediate, not partial, no expressions, all NOT NULL. */
  readonly eligible: boolean;
  readonly columns: readonly string[];
}

/** A table with rows of its own (a partition, never a partitioned parent) that a publication can hold. */
export interface InspectedTable {
  readonly oid: number;
  readonly schema: string;
  readonly table: string;
  readonly identity: ReplicaIdentity;
  readonly logged: boolean;
  readonly indexes: readonly InspectedIndex[];
  readonly generated: readonly string[];
  /** Partitioned tables above it, nearest first: publishing one of them publishes this one. */
  readonly ancestors: readonly { readonly schema: string; readonly table: string }[];
  /** The connected user owns it, or is member of its owner, or is superuser. */
  readonly owned: boolean;
  /** Values are stored outside its rows (TOAST). */
  readonly toasted: boolean;
  /** What the connected user lacks to read all its rows. */
  readonly lacks: { readonly usage: boolean; readonly select: boolean; readonly bypass: boolean };
}

/** All permanent and unlogged tables outside the system's schemas. */
export async function inspectTables(client: pg.Client): Promise<InspectedTable[]> {
  const { rows } = await client.query(`
    SELECT c.oid, n.nspname AS schema, c.relname AS table, c.relreplident AS identity,
           c.relpersistence = 'p' AS logged,
           pg_has_role(c.relowner, 'USAGE') AS owned,
           c.reltoastrelid <> 0 AND coalesce(pg_relation_size(c.reltoastrelid), 0) > 0 AS toasted,
           json_build_object('usage', NOT has_schema_privilege(n.oid, 'USAGE'),
                             'select', NOT coalesce(has_table_privilege(c.oid, 'SELECT'), true),
                             'bypass', row_security_active(c.oid)) AS lacks,
           coalesce((SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
                      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> ''), '[]') AS generated,
           coalesce((SELECT json_agg(json_build_object('schema', pn.nspname, 'table', p.relname))
                       FROM pg_partition_ancestors(c.oid) AS up(relid)
                       JOIN pg_class p ON p.oid = up.relid AND p.oid <> c.oid
                       JOIN pg_namespace pn ON pn.oid = p.relnamespace), '[]') AS ancestors,
           coalesce((SELECT json_agg(json_build_object(
                       'name', ic.relname, 'primary', i.indisprimary, 'identity', i.indisreplident,
                       'immediate', i.indimmediate,
                       'eligible', i.indisunique AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
                         AND (SELECT bool_and(a.attnotnull) FROM pg_attribute a
                               WHERE a.attrelid = c.oid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])),
                       'columns', (SELECT json_agg(a.attname ORDER BY array_position(i.indkey::int2[], a.attnum)) FROM pg_attribute a
                                    WHERE a.attrelid = c.oid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])))
                       ORDER BY i.indisprimary DESC, ic.relname)
                       FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
                      WHERE i.indrelid = c.oid AND i.indisvalid AND i.indislive), '[]') AS indexes
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND c.relpersistence IN ('p', 'u')
       AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname NOT LIKE 'pg\\_temp\\_%'
     ORDER BY n.nspname, c.relname`);
  return rows;
}

export interface IdentityRules {
  /** Such as 180004. */
  readonly version: number;
  /** Declared in the configuration: published without a record key. */
  readonly keyless: boolean;
  /** The publication sends updates or deletes. */
  readonly publishesChanges: boolean;
  /** The publication sends stored generated columns (`publish_generated_columns`, Postgres 18). */
  readonly sendsGenerated: boolean;
}

/**
 * What forbids capturing the table; null when nothing does. Codes: TABLE_WITHOUT_IDENTITY, KEY_DEFERRABLE,
 * GENERATED_IDENTITY.
 */
export function judgeIdentity(table: InspectedTable, rules: IdentityRules): Finding | null {
  if (!rules.publishesChanges) return null;
  const name = formatTableName(table.schema, table.table);
  const primary = table.indexes.find((index) => index.primary);
  const generated = judgeGenerated(table, rules);
  if (generated !== null) return generated;
  switch (table.identity) {
    case "d":
      if (primary === undefined) return withoutIdentity(table, "has no primary key");
      return primary.immediate ? null : deferrable(table, primary);
    case "f":
      return primary === undefined || primary.immediate || rules.keyless ? null : deferrable(table, primary);
    case "i":
      return table.indexes.some((index) => index.identity)
        ? null
        : withoutIdentity(table, "names an index as its identity that is gone");
    case "n":
      return withoutIdentity(table, "has REPLICA IDENTITY NOTHING");
    default:
      throw new RangeError(`Unknown replica identity ${table.identity satisfies never} of ${name}.`);
  }
}

function withoutIdentity(table: InspectedTable, why: string): Finding {
  const name = formatTableName(table.schema, table.table);
  return problem(
    "TABLE_WITHOUT_IDENTITY",
    `Table ${name} ${why}: once it is published, Postgres refuses its UPDATE and DELETE statements.`,
    remedy`${identify(table, bestIdentity(table))} or leave it out: add ${exclusion(name)} to tables.`,
  );
}

function bestIdentity(table: InspectedTable): string {
  const plain = ({ columns }: InspectedIndex) => !columns.some((column) => table.generated.includes(column));
  if (table.identity !== "d" && table.indexes.some((index) => index.primary && index.immediate && plain(index))) {
    return "DEFAULT";
  }
  const index = table.indexes.find((each) => each.eligible && plain(each));
  return index === undefined ? "FULL" : `USING INDEX ${quoteIdentifier(index.name)}`;
}

function deferrable(table: InspectedTable, primary: InspectedIndex): Finding {
  const name = formatTableName(table.schema, table.table);
  const columns = primary.columns.map(quoteIdentifier).join(", ");
  return problem(
    "KEY_DEFERRABLE",
    `The primary key of ${name} is DEFERRABLE: inside a transaction two rows may have the same key, so it can't tell rows apart.`,
    remedy`${sql(`${alter(table)} DROP CONSTRAINT ${quoteIdentifier(primary.name)}, ADD PRIMARY KEY (${columns});`)} or publish it without a key: ${alter(table)} REPLICA IDENTITY FULL; and add ${JSON.stringify(name)} to keyless; or add ${exclusion(name)} to tables.`,
  );
}

// Postgres 18 refuses the application's UPDATE when the identity has an unpublished generated column; older servers
// leave the column out, so that a key column would be missing.
function judgeGenerated(table: InspectedTable, rules: IdentityRules): Finding | null {
  if (table.generated.length === 0 || rules.sendsGenerated) return null;
  const name = formatTableName(table.schema, table.table);
  const index = table.indexes.find((each) => (table.identity === "i" ? each.identity : each.primary));
  const inKey = table.generated.filter((column) => index?.columns.includes(column));
  const affected = table.identity === "f" && rules.version >= 180_000 ? table.generated : inKey;
  if (affected.length === 0 || table.identity === "n") return null;
  const other =
    table.identity === "f" && inKey.length === 0 && index?.immediate === true ? "DEFAULT" : bestIdentity(table);
  const way: Remedy =
    other === "FULL"
      ? remedy`Give ${name} an identity without it (REPLICA IDENTITY USING INDEX …)`
      : inTurn([identify(table, other)]);
  return problem(
    "GENERATED_IDENTITY",
    `The replica identity of ${name} includes the generated column ${affected.join(", ")}, which is not published: its updates and deletes can't be captured.`,
    remedy`${way} or add ${exclusion(name)} to tables.`,
  );
}

/** Unlogged tables write no WAL. */
export function judgeUnlogged(table: InspectedTable): Finding {
  const name = formatTableName(table.schema, table.table);
  return warning(
    "TABLE_UNLOGGED",
    `Table ${name} is unlogged: its changes are in no WAL and are not captured.`,
    remedy`${sql(`${alter(table)} SET LOGGED;`)} or add ${exclusion(name)} to tables.`,
  );
}

const alter = ({ schema, table }: InspectedTable): string =>
  `ALTER TABLE ${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;

const identify = (table: InspectedTable, identity: string) => sql(`${alter(table)} REPLICA IDENTITY ${identity};`);

/** The pattern that excludes a table, quoted for YAML. */
export const exclusion = (name: string): string => (name.includes('"') ? `'!${name}'` : `"!${name}"`);
