// The SQL that an administrator runs for a stream: a role with the least rights, the publication, the slot. Pure: no
// server is asked, so what depends on one (which tables there are) is asked by the SQL itself. Names are anybody's text.
import { parseTablePattern, type TablePattern } from "../config/table-patterns.ts";
import { printable } from "../errors.ts";
import { quoteIdentifier } from "../event/identifier.ts";

export interface SetupTarget {
  readonly stream: string;
  /** Whom the daemon connects as. */
  readonly role: string;
  readonly database: string;
  readonly publication: string;
  readonly slot: string;
  /** As in the setting `tables`. */
  readonly tables: readonly string[];
  /** Snapshots shall read the tables. */
  readonly readsRows: boolean;
  /** Standbys shall keep a copy of the slot (17 and later). */
  readonly failover: boolean;
  /** Of the standby that will hold the slot, if one shall. */
  readonly standbyUrl?: string;
}

/** A string for SQL, under `standard_conforming_strings`. */
export function quoteLiteral(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** The whole file. Its statements run one by one, outside a transaction, and may be run again. */
export function setupSql(target: SetupTarget): string {
  const { stream, role, database, publication } = target;
  const who = quoteIdentifier(role);
  // A comment ends at a line's end, so no name may bring one.
  const shown = { role: printable(who), database: printable(database) };
  return `-- The stream ${stream} of afterimage: what an administrator runs once, as a superuser, in the database ${shown.database}:
--   psql --set=ON_ERROR_STOP=1 --file=${stream}.sql 'dbname=…'
-- It may be run again: then it adds what is missing, such as tables that were made since. Not with --single-transaction.

SET standard_conforming_strings = on;
SET search_path = '';

-- Nothing is made in the wrong database, or on a server that can't stream.
${block(`
BEGIN
  IF current_database() <> ${quoteLiteral(database)} THEN
    RAISE EXCEPTION 'This is database %, not the one that the file is for.', current_database();
  END IF;
${
  target.failover
    ? `  IF current_setting('server_version_num')::int < 170000 THEN
    RAISE EXCEPTION 'Slots fail over since PostgreSQL 17 only.';
  END IF;
`
    : ""
}  IF current_setting('wal_level') <> 'logical' THEN
    RAISE EXCEPTION 'wal_level is %, it must be logical.', current_setting('wal_level')
      USING HINT = 'ALTER SYSTEM SET wal_level = logical; then restart Postgres, and run this again.';
  END IF;
END`)}

-- The role may log in and replicate, which is all that streaming needs. Its password stands in no file; in psql:
--   \\password ${shown.role}
-- On Amazon RDS, in place of REPLICATION: GRANT rds_replication TO ${shown.role};
${block(`
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = ${quoteLiteral(role)}) THEN
    CREATE ROLE ${who};
  END IF;
END`)}
ALTER ROLE ${who} LOGIN REPLICATION;
GRANT CONNECT ON DATABASE ${quoteIdentifier(database)} TO ${who};

-- The publication says what is streamed. afterimage uses this one as it is, and never alters it. A table without a
-- usable replica identity is left out and named, since Postgres would refuse its UPDATE and DELETE statements.
${block(publishing(target))}
${target.readsRows ? READING(target) : NOT_READING(stream)}
${target.standbyUrl === undefined ? slotSql(target) : standbySlotSql(who)}
RESET search_path;
RESET standard_conforming_strings;
-- To undo all of it: afterimage drop ${stream}; DROP PUBLICATION ${printable(quoteIdentifier(publication))}; then
-- DROP OWNED BY ${shown.role}; DROP ROLE ${shown.role};
`;
}

const slotSql = ({ slot, failover }: SetupTarget): string => `\
-- The slot keeps WAL from now on until the daemon has published it: start the daemon soon. Making it waits for all
-- transactions that are open at this moment.
SELECT pg_catalog.pg_create_logical_replication_slot(${quoteLiteral(slot)}, 'pgoutput'${failover ? ", failover => true" : ""})
 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = ${quoteLiteral(slot)});
`;

const standbySlotSql = (who: string): string => `\
-- The slot is made on the standby, by the first start. For that the role may ask for a record of open transactions.
GRANT EXECUTE ON FUNCTION pg_catalog.pg_log_standby_snapshot() TO ${who};
`;

/** In quotes rather than between dollars: a name may hold any of these. */
const block = (body: string): string => `DO ${quoteLiteral(`${body}\n`)};`;

function publishing({ publication, tables }: SetupTarget): string {
  const name = quoteIdentifier(publication);
  // format() takes the rest of its text for the directives.
  const inFormat = name.replaceAll("%", "%%");
  return `
DECLARE
  found record;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = ${quoteLiteral(publication)}) THEN
    CREATE PUBLICATION ${name};
  END IF;
  FOR found IN ${matching(tables)}
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_rel pr JOIN pg_catalog.pg_publication p ON p.oid = pr.prpubid
                        WHERE p.pubname = ${quoteLiteral(publication)} AND pr.prrelid = c.oid)
     ORDER BY 1, 2
  LOOP
    IF found.usable THEN
      EXECUTE pg_catalog.format(${quoteLiteral(`ALTER PUBLICATION ${inFormat} ADD TABLE ONLY %I.%I`)}, found.schema, found.name);
    ELSE
      RAISE WARNING 'Table %.% is left out: it has no usable replica identity.', found.schema, found.name
        USING HINT = 'Give it a primary key, or ALTER TABLE … REPLICA IDENTITY FULL; then run this again.';
    END IF;
  END LOOP;
END`;
}

/** Tables that the patterns mean and a publication can name; `usable` judges them, or all partitions of one. */
function matching(tables: readonly string[]): string {
  return `
    SELECT n.nspname AS schema, c.relname AS name, c.oid, NOT EXISTS (
             SELECT FROM pg_catalog.pg_class l
              WHERE l.relkind = 'r' AND l.oid IN (SELECT c.oid UNION SELECT relid FROM pg_catalog.pg_partition_tree(c.oid))
                AND CASE l.relreplident
                      WHEN 'd' THEN NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = l.oid AND i.indisprimary AND i.indimmediate)
                      WHEN 'i' THEN NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = l.oid AND i.indisreplident)
                      WHEN 'f' THEN EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = l.oid AND a.attgenerated <> '' AND NOT a.attisdropped)
                      ELSE true END) AS usable
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition
       AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'
       AND ${condition(tables)}`;
}

/** Some pattern includes the table, and none excludes it. */
function condition(tables: readonly string[]): string {
  const patterns = tables.map((text) => parseTablePattern(text)).filter((pattern) => pattern !== undefined);
  const either = (some: readonly TablePattern[]) => `(${some.map(same).join(" OR ")})`;
  const excluded = patterns.filter(({ exclude }) => exclude);
  const included = either(patterns.filter(({ exclude }) => !exclude));
  return excluded.length === 0 ? included : `${included} AND NOT ${either(excluded)}`;
}

const same = ({ schema, table }: TablePattern): string =>
  `n.nspname LIKE ${quoteLiteral(schema.like)} AND c.relname LIKE ${quoteLiteral(table.like)}`;

const READING = ({ role, tables }: SetupTarget): string => `
-- Snapshots read the rows of tables and partitions (snapshot: initial, afterimage snapshot), and so does afterimage
-- verify. Under row-level security the role needs BYPASSRLS as well.
${block(`
DECLARE
  found record;
BEGIN
  FOR found IN SELECT DISTINCT n.nspname AS schema, l.relname AS name
      FROM (${matching(tables)}) t
      JOIN pg_catalog.pg_class l ON l.oid = t.oid OR l.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(t.oid))
      JOIN pg_catalog.pg_namespace n ON n.oid = l.relnamespace
     WHERE l.relkind IN ('r', 'p')
  LOOP
    EXECUTE pg_catalog.format(${quoteLiteral("GRANT USAGE ON SCHEMA %I TO %I")}, found.schema, ${quoteLiteral(role)});
    EXECUTE pg_catalog.format(${quoteLiteral("GRANT SELECT ON TABLE %I.%I TO %I")}, found.schema, found.name, ${quoteLiteral(role)});
  END LOOP;
END`)}
`;

const NOT_READING = (stream: string): string => `
-- The role may read no table: streaming needs no such right. Snapshots and afterimage verify do; to have them, write
-- this file anew with: afterimage init --stream ${stream} --snapshot initial …
`;
