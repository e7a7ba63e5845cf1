// All that must hold of Postgres before a start, and what `doctor` shows: connection, server, privileges, tables.
// Reads only; nothing is created or changed.
import type pg from "pg";
import { type Finding, ok, problem, remedy, toWarning, warning } from "./finding.ts";
import { judgeOrigin, type Origin } from "./origin.ts";
import { connectPatiently, identity, type Patience } from "./preflight-connection.ts";
import {
  checkPrivileges,
  judgeNarrowed,
  judgePublication,
  notPublished,
  readPublicationFacts,
} from "./preflight-publication.ts";
import { checkReplication, judgeServer, readServerFacts, type ServerFacts } from "./preflight-server.ts";
import { judgeSettings, readSettingFacts } from "./preflight-settings.ts";
import { rebuild } from "./preflight-slot.ts";
import { preflightStandby } from "./preflight-standby.ts";
import { type InspectedTable, inspectTables, judgeIdentity, judgeUnlogged } from "./preflight-tables.ts";
import { findForeignPartitions, judgeGeneratedColumns, judgeReadable, judgeToast } from "./preflight-values.ts";
import { closeSql, hostOf, type PostgresSettings } from "./session.ts";

export interface PreflightTarget extends PostgresSettings {
  readonly slot: string;
  readonly publication: string;
  readonly origin?: Origin;
  /** Of a standby that holds the slot. */
  readonly standbyUrl?: string;
  /**
   * The stream has run: a table that came since and can't be captured must not end it. What is wrong with tables
   * outside the publication is a warning then, and they are not among the tables that would be captured.
   */
  readonly hasRun?: boolean;
  /** The stream's name, for remedies. */
  readonly stream?: string;
  /** Rows that new tables hold are read. */
  readonly readsRows?: boolean;
  /** Over which a snapshot reads. */
  readonly snapshotConnections?: number;
  /** A new epoch is to begin: a publication that is gone is made again. */
  readonly newEpoch?: boolean;
}

export interface TableChoice {
  /** Whether the configuration's `tables` mean it, by its own name or by a partitioned table's above it. */
  readonly captures: (table: Pick<InspectedTable, "schema" | "table" | "ancestors">) => boolean;
  /** Whether the configuration's `keyless` mean it. */
  readonly keyless: (schema: string, table: string) => boolean;
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
    const standby =
      target.standbyUrl === undefined
        ? null
        : await preflightStandby({ ...target, url: target.standbyUrl }, target, client, patience);
    const judged = judgeServer(facts, target.slot, target.stream ?? "STREAM");
    const server = [
      // The primary needs neither slot nor walsender then.
      ...(standby === null ? judged : judged.filter(({ code }) => !OF_THE_HOLDER.has(code))),
      ...(standby?.findings ?? []),
      ...judgeOrigin(target.origin ?? "any", facts.version),
    ];
    const replication = standby === null ? [await checkReplication(target, facts)] : [];
    // Older servers lack catalogue columns that the next questions name.
    if (facts.version < 150_000) {
      return { findings: [reached, ...server, ...replication], tables: [], hasSlot: null };
    }
    const holder = standby === null ? facts : standby.facts;
    const hasSlot = holder?.slot?.plugin === "pgoutput" && holder.slot.database === facts.database;
    const settings =
      facts.inRecovery || standby !== null ? [] : await checkSettings(client, target, facts, patience.waitMs);
    const { findings, tables } = await checkTables(client, target, choice, facts.version, hasSlot);
    return {
      findings: [reached, ...server, ...replication, ...settings, ...findings],
      tables,
      hasSlot: holder === null ? null : hasSlot,
    };
  } catch (error) {
    if (!lost) throw error;
    return { findings: [connectionLost(target)], tables: [], hasSlot: null };
  } finally {
    await closeSql(client);
  }
}

const OF_THE_HOLDER = new Set(["SLOTS_EXHAUSTED", "WALSENDERS_EXHAUSTED"]);

/** Both SQL connections of a session, its replication connection, the preflight's two, one to cancel, and a standby's. */
const CONNECTIONS = 7;

async function checkSettings(
  client: pg.Client,
  { slot, snapshotConnections = 0 }: PreflightTarget,
  facts: ServerFacts,
  waitMs: number,
): Promise<Finding[]> {
  return judgeSettings(await readSettingFacts(client, waitMs), {
    slot,
    hasSlot: facts.slot !== null,
    failover: facts.slot?.failover ?? false,
    connections: CONNECTIONS + snapshotConnections,
  });
}

function publicationLost({ publication, slot, stream = "STREAM" }: PreflightTarget): Finding {
  return problem(
    "PUBLICATION_LOST",
    `Publication ${publication} is gone, though slot ${slot} is there: Postgres leaves out what is written while it is missing.`,
    remedy`Go on with a new epoch (afterimage start --new-epoch), or rebuild the stream: ${rebuild(stream)}, then start.`,
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
  findings.push(...(await findForeignPartitions(client, choice.captures)));
  if (publication !== null) findings.push(...judgePublication(publication, { ...target, hasSlot }));
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
  if (publication !== null) {
    const narrowed = judgeNarrowed(publication, captured, target.publication);
    // Of a stream that has run, these columns and rows come as they always did.
    findings.push(...(target.hasRun === true ? narrowed.map(toWarning) : narrowed));
  }
  const usable = captured.filter((each) => !unusable.some(({ table }) => table === each && isNew(table)));
  const privileges = await checkPrivileges(client, target, publication, usable);
  findings.push(...(target.hasRun === true ? privileges.map(toWarning) : privileges));
  findings.push(
    ...judgeToast(captured, rules.publishesChanges),
    ...judgeGeneratedColumns(captured, publication, { ...target, version }),
    ...(target.readsRows === true ? judgeReadable(captured, identity(target.url).user, !hasSlot) : []),
  );
  const mayNot = target.hasRun === true && privileges.length > 0;
  return { findings, tables: mayNot ? usable.filter((table) => !isNew(table)) : usable };
}
