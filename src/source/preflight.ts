// All that must hold of Postgres before a start, and what `doctor` shows: connection, server, privileges, tables.
// Reads only; nothing is created or changed.
import type pg from "pg";
import { formatTableName, quoteIdentifier } from "../event/identifier.ts";
import { type Finding, ok, problem, toWarning, warning } from "./finding.ts";
import { connectPatiently, identity, type Patience } from "./preflight-connection.ts";
import { checkReplication, judgeServer, readServerFacts } from "./preflight-server.ts";
import { type InspectedTable, inspectTables, judgeIdentity, judgeUnlogged } from "./preflight-tables.ts";
import { PUBLICATION_COMMENT } from "./publication.ts";
import { closeSql, hostOf, type PostgresSettings } from "./session.ts";

export interface PreflightTarget extends PostgresSettings {
  readonly slot: string;
  readonly publication: string;
  /**
   * The stream has run: a table that came since and can't be captured must not end it. What is wrong with tables
   * outside the publication is a warning then, and they are not among the tables that would be captured.
   */
  readonly hasRun?: boolean;
  /** A new epoch is to begin: a publication that is gone is made again. */
  readonly newEpoch?: boolean;
}

export interface TableChoice {
  /** Whether the configuration's `tables` mean it, by its own name or by a partitioned table's above it. */
  readonly captures: (table: Pick<InspectedTable, "schema" | "table" | "ancestors">) => boolean;
  /** Whether the configuration's `keyless` mean it. */
  readonly keyless: (schema: string, table: string) => boolean;
}

interface PublicationFacts {
  readonly ours: boolean;
  readonly owned: boolean;
  readonly changes: boolean;
  readonly generated: string;
  /** OIDs of the tables it publishes. */
  readonly tables: readonly number[];
}

export interface PostgresPreflight {
  readonly findings: readonly Finding[];
  /** The tables that are or would be captured, as far as they could be read. */
  readonly tables: readonly InspectedTable[];
  /** Whether our slot is there; null when it could not be asked. */
  readonly hasSlot: boolean | null;
}

/** Never throws for what is wrong with the server: everything is a finding. Errors stop the start. */
export async function preflightPostgres(
  target: PreflightTarget,
  choice: TableChoice,
  patience: Patience,
): Promise<PostgresPreflight> {
  const connected = await connectPatiently(target, patience);
  if ("finding" in connected) return { findings: [connected.finding], tables: [], hasSlot: null };
  const { client } = connected;
  let lost = false;
  client.on("error", () => {
    lost = true;
  });
  try {
    const facts = await readServerFacts(client, target.slot);
    const reached = ok("POSTGRES_UNREACHABLE", `Postgres at ${hostOf(target.url)}, database ${facts.database}`);
    const server = judgeServer(facts, target.slot);
    const replication = await checkReplication(target, facts);
    // Older servers lack catalogue columns that the next questions name.
    if (facts.version < 150_000) {
      return { findings: [reached, ...server, replication], tables: [], hasSlot: null };
    }
    const hasSlot = facts.slot?.plugin === "pgoutput" && facts.slot.database === facts.database;
    const { findings, tables } = await checkTables(client, target, choice, facts.version, hasSlot);
    return { findings: [reached, ...server, replication, ...findings], tables, hasSlot };
  } catch (error) {
    if (!lost) throw error;
    return { findings: [connectionLost(target)], tables: [], hasSlot: null };
  } finally {
    await closeSql(client);
  }
}

function publicationLost({ publication, slot }: PreflightTarget): Finding {
  return problem(
    "PUBLICATION_LOST",
    `Publication ${publication} is gone, though slot ${slot} is there: Postgres leaves out what is written while it is missing.`,
    "Go on with a new epoch: afterimage start --new-epoch. Or rebuild the stream: afterimage drop STREAM --topics, then start.",
  );
}

function connectionLost({ url }: PreflightTarget): Finding {
  return problem(
    "POSTGRES_UNREACHABLE",
    `Postgres at ${hostOf(url)} ended the connection while it was being checked.`,
    "Check that the server runs and stays up; its log says why it ended the connection.",
  );
}

async function checkTables(
  client: pg.Client,
  target: PreflightTarget,
  choice: TableChoice,
  version: number,
  hasSlot: boolean,
): Promise<Omit<PostgresPreflight, "hasSlot">> {
  const publication = await readPublicationFacts(client, target.publication);
  if (publication === null && hasSlot && target.newEpoch !== true) {
    return { findings: [publicationLost(target)], tables: [] };
  }
  const candidates = await inspectTables(client);
  const chosen = candidates.filter(choice.captures);
  const logged = chosen.filter((table) => table.logged);
  const findings = chosen.filter((table) => !table.logged).map(judgeUnlogged);
  // A publication of the user's is used as it is; what it doesn't hold is not captured.
  const theirs = publication !== null && !publication.ours;
  const captured = theirs ? logged.filter(({ oid }) => publication.tables.includes(oid)) : logged;
  if (theirs) findings.push(...notPublished(logged, publication, target.publication));
  const rules = {
    version,
    publishesChanges: publication?.changes ?? true,
    sendsGenerated: publication?.generated === "s",
  };
  const isNew = ({ oid }: InspectedTable) => target.hasRun === true && publication?.tables.includes(oid) !== true;
  const unusable = captured.flatMap((table) => {
    const finding = judgeIdentity(table, { ...rules, keyless: choice.keyless(table.schema, table.table) });
    return finding === null ? [] : [{ table, finding: isNew(table) ? toWarning(finding) : finding }];
  });
  findings.push(...unusable.map(({ finding }) => finding));
  if (captured.length === 0) {
    findings.push(
      warning(
        "TABLES_MATCH_NOTHING",
        "No table matches the setting tables.",
        "Check the patterns, or create the tables; each start looks again.",
      ),
    );
  } else if (unusable.length === 0) {
    findings.push(ok("TABLE_WITHOUT_IDENTITY", `${captured.length} tables match, all have a usable identity`));
  }
  const usable = captured.filter((each) => !unusable.some(({ table }) => table === each && isNew(table)));
  const privileges = await checkPrivileges(client, target, publication, usable);
  findings.push(...(target.hasRun === true ? privileges.map(toWarning) : privileges));
  const mayNot = target.hasRun === true && privileges.length > 0;
  return { findings, tables: mayNot ? usable.filter((table) => !isNew(table)) : usable };
}

function notPublished(tables: readonly InspectedTable[], publication: PublicationFacts, name: string): Finding[] {
  return tables
    .filter(({ oid }) => !publication.tables.includes(oid))
    .map(({ schema, table }) =>
      warning(
        "TABLE_NOT_PUBLISHED",
        `Table ${formatTableName(schema, table)} matches, but publication ${name} does not publish it; the publication is not ours and stays as it is.`,
        `ALTER PUBLICATION ${quoteIdentifier(name)} ADD TABLE ${quoteIdentifier(schema)}.${quoteIdentifier(table)};`,
      ),
    );
}

async function readPublicationFacts(client: pg.Client, publication: string): Promise<PublicationFacts | null> {
  // to_jsonb: pubgencols exists since Postgres 18 only.
  const { rows } = await client.query(
    `SELECT obj_description(p.oid, 'pg_publication') IS NOT DISTINCT FROM $2 AS ours,
            pg_has_role(p.pubowner, 'USAGE') AS owned,
            p.pubupdate OR p.pubdelete AS changes,
            coalesce(to_jsonb(p) ->> 'pubgencols', 'n') AS generated,
            coalesce((SELECT json_agg(c.oid::int8) FROM pg_publication_tables t
                        JOIN pg_namespace n ON n.nspname = t.schemaname
                        JOIN pg_class root ON root.relnamespace = n.oid AND root.relname = t.tablename
                        JOIN LATERAL (SELECT root.oid UNION SELECT relid FROM pg_partition_tree(root.oid)) c ON true
                       WHERE t.pubname = p.pubname), '[]') AS tables
       FROM pg_publication p WHERE p.pubname = $1`,
    [publication, PUBLICATION_COMMENT],
  );
  return rows[0] ?? null;
}

/** A partition is published through the topmost table it is part of, and so are those that are made later. */
function publishedName(part: InspectedTable): string {
  const { schema, table } = part.ancestors.at(-1) ?? part;
  return `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
}

async function checkPrivileges(
  client: pg.Client,
  target: PreflightTarget,
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
    return [
      problem(
        "PUBLICATION_NOT_ALLOWED",
        `Publication ${target.publication} can't be made: user ${user} ${lacks}.`,
        `Let a superuser or the tables' owner run: CREATE PUBLICATION ${name}${tables.length === 0 ? "" : ` FOR TABLE ${names(tables)}`};`,
      ),
    ];
  }
  if (missing.length === 0 || (publication.owned && foreign.length === 0)) return [];
  return [
    problem(
      "PUBLICATION_NOT_ALLOWED",
      `${names(missing)} can't be added to publication ${target.publication}: user ${user} must own both.`,
      `Let a superuser run: ALTER PUBLICATION ${name} ADD TABLE ${names(missing)};`,
    ),
  ];
}
