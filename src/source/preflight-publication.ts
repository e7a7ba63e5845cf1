// The publication as it is: what it sends, and whether what it sends can be captured. One of the user's is used as it
// is, so what it leaves out is named.
// https://www.postgresql.org/docs/current/logical-replication-publication.html
import type pg from "pg";
import { formatTableName, quoteIdentifier } from "../event/identifier.ts";
import { type Finding, inTurn, note, problem, remedy, sql, warning } from "./finding.ts";
import { identity } from "./preflight-connection.ts";
import type { InspectedTable } from "./preflight-tables.ts";
import { PUBLICATION_COMMENT } from "./publication.ts";

export interface PublicationFacts {
  readonly ours: boolean;
  readonly owned: boolean;
  /** It sends updates or deletes. */
  readonly changes: boolean;
  /** Operations that it leaves out: `insert`, `update`, `delete`, `truncate`. */
  readonly leavesOut: readonly string[];
  readonly viaRoot: boolean;
  /** `s`: stored generated columns are sent (18 and later). */
  readonly generated: string;
  /** OIDs of the tables it publishes. */
  readonly tables: readonly number[];
  /** Of tables that it names with a column list or a row filter. */
  readonly narrowed: readonly Narrowed[];
}

export interface Narrowed {
  readonly oid: number;
  /** Names of the columns that are sent; null: all. */
  readonly columns: readonly string[] | null;
  /** Names of the columns that the row filter reads; null: no filter. */
  readonly filtered: readonly string[] | null;
}

export async function readPublicationFacts(client: pg.Client, publication: string): Promise<PublicationFacts | null> {
  // to_jsonb: pubgencols exists since Postgres 18 only. A filter's columns stand in its node tree, which no function tells.
  const { rows } = await client.query(
    `SELECT obj_description(p.oid, 'pg_publication') IS NOT DISTINCT FROM $2 AS ours,
            pg_has_role(p.pubowner, 'USAGE') AS owned,
            p.pubupdate OR p.pubdelete AS changes,
            (SELECT coalesce(json_agg(op), '[]') FROM (VALUES ('insert', p.pubinsert), ('update', p.pubupdate),
               ('delete', p.pubdelete), ('truncate', p.pubtruncate)) o(op, sent) WHERE NOT sent) AS "leavesOut",
            p.pubviaroot AS "viaRoot",
            coalesce(to_jsonb(p) ->> 'pubgencols', 'n') AS generated,
            coalesce((SELECT json_agg(c.oid::int8) FROM pg_publication_tables t
                        JOIN pg_namespace n ON n.nspname = t.schemaname
                        JOIN pg_class root ON root.relnamespace = n.oid AND root.relname = t.tablename
                        JOIN LATERAL (SELECT root.oid UNION SELECT relid FROM pg_partition_tree(root.oid)) c ON true
                       WHERE t.pubname = p.pubname), '[]') AS tables,
            coalesce((SELECT json_agg(json_build_object('oid', pr.prrelid::int8,
                        'columns', CASE WHEN pr.prattrs IS NOT NULL THEN
                           (SELECT json_agg(attname) FROM pg_attribute WHERE attrelid = pr.prrelid AND attnum = ANY (pr.prattrs::int2[])) END,
                        'filtered', CASE WHEN pr.prqual IS NOT NULL THEN
                           (SELECT coalesce(json_agg(DISTINCT attname), '[]') FROM pg_attribute
                              JOIN regexp_matches(pr.prqual::text, ':varattno (\\d+)', 'g') AS m(found) ON attnum = m.found[1]::int
                             WHERE attrelid = pr.prrelid) END))
                        FROM pg_publication_rel pr
                       WHERE pr.prpubid = p.oid AND (pr.prattrs IS NOT NULL OR pr.prqual IS NOT NULL)), '[]') AS narrowed
       FROM pg_publication p WHERE p.pubname = $1`,
    [publication, PUBLICATION_COMMENT],
  );
  return rows[0] ?? null;
}

export interface PublicationTarget {
  readonly publication: string;
  /** A slot is there: what alters the publication then halts the stream until it is accepted. */
  readonly hasSlot: boolean;
}

/** What its options leave out; pure. Codes: PUBLICATION_OPERATIONS, PUBLICATION_VIA_ROOT. */
export function judgePublication(facts: PublicationFacts, { publication, hasSlot }: PublicationTarget): Finding[] {
  const findings: Finding[] = [];
  const alter = (options: string) => sql(`ALTER PUBLICATION ${quoteIdentifier(publication)} SET (${options});`);
  const then = hasSlot ? " The next start then halts with PUBLICATION_CHANGED, and says how to accept it." : "";
  if (facts.leavesOut.length > 0) {
    findings.push(
      warning(
        "PUBLICATION_OPERATIONS",
        `Publication ${publication} does not send ${facts.leavesOut.join(", ")}: views keep what these change.`,
        remedy`${alter("publish = 'insert, update, delete, truncate'")}${then}`,
      ),
    );
  }
  if (facts.viaRoot) {
    findings.push(
      warning(
        "PUBLICATION_VIA_ROOT",
        `Publication ${publication} sends partitions under the name of their root (publish_via_partition_root): a TRUNCATE of a single partition is not sent, and views keep its rows.`,
        remedy`${alter("publish_via_partition_root = false")}${then}`,
      ),
    );
  }
  return findings;
}

/**
 * What column lists and row filters do to these tables; pure. COLUMN_LIST_IDENTITY and ROW_FILTER_IDENTITY are errors:
 * Postgres then refuses the application's UPDATE and DELETE. The others are notes.
 */
export function judgeNarrowed(
  facts: PublicationFacts,
  tables: readonly InspectedTable[],
  publication: string,
): Finding[] {
  return facts.narrowed.flatMap(({ oid, columns, filtered }) => {
    const table = tables.find((each) => each.oid === oid);
    if (table === undefined) return [];
    const name = formatTableName(table.schema, table.table);
    const sqlName = `${quoteIdentifier(table.schema)}.${quoteIdentifier(table.table)}`;
    const key = identityColumns(table);
    const findings: Finding[] = [];
    if (columns !== null && facts.changes && (key === null || key.some((column) => !columns.includes(column)))) {
      const whole = [...new Set([...(key ?? []), ...columns])].map(quoteIdentifier).join(", ");
      const list = key === null ? "" : ` (${whole})`;
      findings.push(
        problem(
          "COLUMN_LIST_IDENTITY",
          `The column list of ${name} in publication ${publication} lacks columns of its replica identity: Postgres refuses its UPDATE and DELETE statements.`,
          inTurn([
            sql(`ALTER PUBLICATION ${quoteIdentifier(publication)} DROP TABLE ${sqlName};`),
            sql(`ALTER PUBLICATION ${quoteIdentifier(publication)} ADD TABLE ${sqlName}${list};`),
          ]),
        ),
      );
    } else if (columns !== null) {
      findings.push(
        note(
          "COLUMN_LIST",
          `Of ${name} publication ${publication} sends only ${columns.join(", ")}.`,
          "If that is meant, nothing; else publish the table without a column list before the first start.",
        ),
      );
    }
    if (filtered === null) return findings;
    if (facts.changes && key !== null && filtered.some((column) => !key.includes(column))) {
      findings.push(
        problem(
          "ROW_FILTER_IDENTITY",
          `The row filter of ${name} in publication ${publication} reads columns outside its replica identity: Postgres refuses its UPDATE and DELETE statements.`,
          inTurn([sql(`ALTER TABLE ${sqlName} REPLICA IDENTITY FULL;`)]),
        ),
      );
    } else {
      findings.push(
        note(
          "ROW_FILTER",
          `Of ${name} publication ${publication} sends only the rows that meet its filter; an UPDATE that moves a row across it comes as an insert or a delete.`,
          "If that is meant, nothing; else publish the table without a filter before the first start.",
        ),
      );
    }
    return findings;
  });
}

/** Columns of the replica identity; null: all of them. */
function identityColumns({ identity: kind, indexes }: InspectedTable): readonly string[] | null {
  if (kind === "f") return null;
  return indexes.find((index) => (kind === "i" ? index.identity : index.primary))?.columns ?? [];
}

/** Tables that match and that a publication of the user's does not hold; partitions together under their root. */
export function notPublished(tables: readonly InspectedTable[], facts: PublicationFacts, name: string): Finding[] {
  const missing = tables.filter(({ oid }) => !facts.tables.includes(oid));
  return [...Map.groupBy(missing, publishedName)].map(([published, [first, ...others]]) => {
    const { schema, table } = first!;
    const more = others.length === 0 ? "" : ` (and ${others.length} other partitions of ${published})`;
    return warning(
      "TABLE_NOT_PUBLISHED",
      `Table ${formatTableName(schema, table)}${more} matches, but publication ${name} does not publish it; the publication is not ours and stays as it is.`,
      inTurn([sql(`ALTER PUBLICATION ${quoteIdentifier(name)} ADD TABLE ${published};`)]),
    );
  });
}

/** A partition is published through the topmost table it is part of, and so are those that are made later. */
function publishedName(part: InspectedTable): string {
  const { schema, table } = part.ancestors.at(-1) ?? part;
  return `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
}

/** Whether the user may make the publication, or add what it lacks. */
export async function checkPrivileges(
  client: pg.Client,
  target: { readonly url: string; readonly publication: string },
  publication: PublicationFacts | null,
  tables: readonly InspectedTable[],
): Promise<Finding[]> {
  if (publication !== null && !publication.ours) return [];
  const missing = publication === null ? tables : tables.filter(({ oid }) => !publication.tables.includes(oid));
  const foreign = missing.filter((table) => !table.owned);
  const { user } = identity(target.url);
  const names = (some: readonly InspectedTable[]) => [...new Set(some.map(publishedName))].join(", ");
  const name = quoteIdentifier(target.publication);
  if (publication === null) {
    const { rows } = await client.query("SELECT has_database_privilege(current_database(), 'CREATE') AS may");
    if (rows[0].may === true && foreign.length === 0) return [];
    const lacks = rows[0].may === true ? `does not own ${names(foreign)}` : "lacks CREATE on the database";
    const of = tables.length === 0 ? "" : ` FOR TABLE ${names(tables)}`;
    return [
      problem(
        "PUBLICATION_NOT_ALLOWED",
        `Publication ${target.publication} can't be made: user ${user} ${lacks}.`,
        remedy`Let a superuser or the tables' owner run: ${sql(`CREATE PUBLICATION ${name}${of};`)}`,
      ),
    ];
  }
  if (missing.length === 0 || (publication.owned && foreign.length === 0)) return [];
  return [
    problem(
      "PUBLICATION_NOT_ALLOWED",
      `${names(missing)} can't be added to publication ${target.publication}: user ${user} must own both.`,
      remedy`Let a superuser run: ${sql(`ALTER PUBLICATION ${name} ADD TABLE ${names(missing)};`)}`,
    ),
  ];
}
