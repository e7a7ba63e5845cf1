// The first half of a start: publication and slot. The slot is the lock: whoever streams from it is the daemon.
import type pg from "pg";
import type { Config } from "../config/config.ts";
import { matchesTable } from "../config/table-patterns.ts";
import { AfterimageError, messageOf } from "../errors.ts";
import { readCandidateTables, type TableDescription } from "../source/catalog.ts";
import { type InspectedTable, inspectTables, judgeIdentity } from "../source/preflight-tables.ts";
import {
  addTables,
  createPublication,
  type PublicationState,
  readNamedTables,
  readPublication,
} from "../source/publication.ts";
import { errorCode } from "../source/session.ts";
import { createSlot, readSlot, type SlotState, TWO_PHASE_REMEDY, twoPhaseSlot } from "../source/slot.ts";
import { awaitPublication } from "../source/standby.ts";
import { NEW_EPOCH } from "./start-checks.ts";
import { isSelected } from "./table-resolver.ts";

/**
 * Makes publication and slot, in that order, on a first start; otherwise both must be there, or rows were lost.
 * `hasProgress`: the progress topic holds a record; `standby` holds the slot in the place of `client`. Resolves false when another daemon was making them: look again.
 * Throws SLOT_LOST, PUBLICATION_LOST, SLOT_FOREIGN, SLOT_TWO_PHASE, STANDBY_BEHIND and the errors of `createSlot`.
 */
export async function ensureSlot(
  client: pg.Client,
  config: Config,
  hasProgress: boolean,
  standby: pg.Client | null = null,
): Promise<boolean> {
  const { slot: slotName, publication: publicationName } = config.postgres;
  const slot = await readSlot(standby ?? client, slotName);
  const publication = await readPublication(client, publicationName);
  checkSlot(config, slot, hasProgress);
  if (publication === null && (slot !== null || hasProgress)) {
    throw publicationLost(config.stream, publicationName);
  }
  if (publication === null) {
    const tables = (await readCandidateTables(client)).filter((table) => isSelected(config.tables, table));
    if (!(await createPublication(client, publicationName, tables))) {
      return false;
    }
  }
  if (slot !== null) {
    return true;
  }
  const patienceMs = Math.max(config.startup.waitMs, 1_000);
  if (standby === null) {
    return createSlot(client, slotName, patienceMs, config.postgres);
  }
  await awaitPublication(standby, client, publicationName, patienceMs);
  return createSlot(standby, slotName, patienceMs, { primary: client });
}

function checkSlot({ stream, postgres }: Config, slot: SlotState | null, hasProgress: boolean): void {
  if (slot === null) {
    if (hasProgress) {
      throw slotLost(stream, `Replication slot ${postgres.slot} is gone`);
    }
    return;
  }
  if (slot.walStatus === "lost") {
    throw slotLost(stream, `Postgres has removed what replication slot ${postgres.slot} needs`);
  }
  if (slot.plugin !== "pgoutput" || !slot.here) {
    throw new AfterimageError(
      "SLOT_FOREIGN",
      slot.here
        ? `Replication slot ${postgres.slot} is made for ${slot.plugin}, not for pgoutput.`
        : `Replication slot ${postgres.slot} belongs to another database of this server.`,
      "Name another slot in postgres.slot.",
    );
  }
  if (slot.twoPhase) {
    throw new AfterimageError("SLOT_TWO_PHASE", twoPhaseSlot(postgres.slot), TWO_PHASE_REMEDY);
  }
}

export function publicationLost(stream: string, publication: string): AfterimageError {
  return new AfterimageError(
    "PUBLICATION_LOST",
    `Publication ${publication} is gone: Postgres leaves out what is written while it is missing.`,
    `${NEW_EPOCH} Or rebuild the stream: afterimage drop ${stream} --topics, then start.`,
  );
}

export function slotLost(stream: string, what: string, cause?: unknown): AfterimageError {
  return new AfterimageError(
    "SLOT_LOST",
    `${what}: changes after the stored position are lost.`,
    `${NEW_EPOCH} Or rebuild the stream: afterimage drop ${stream} --topics, then start. To keep slots from being lost, raise max_slot_wal_keep_size.`,
    { cause },
  );
}

const UNDEFINED_FILE = "58P01";

/**
 * What ended a replication connection that was streaming. Only there does SQLSTATE 58P01 stand for "requested WAL
 * segment … has already been removed"; elsewhere it is a library or a file of the server that is missing.
 */
export function streamLost(stream: string, error: Error): Error {
  return errorCode(error) === UNDEFINED_FILE
    ? slotLost(
        stream,
        `Postgres misses WAL that the slot needs (SQLSTATE ${UNDEFINED_FILE}: ${messageOf(error)})`,
        error,
      )
    : error;
}

/** Tables that match and that our publication does not name; none where it is the user's own, which is left alone. */
export async function readUnnamed(
  client: pg.Client,
  config: Config,
  publication: PublicationState,
): Promise<TableDescription[]> {
  if (!publication.ours) {
    return [];
  }
  const named = await readNamedTables(client, publication.oid);
  return (await readCandidateTables(client)).filter(
    (table) => isSelected(config.tables, table) && !named.has(table.oid),
  );
}

/**
 * Adds those tables to our publication that can be published without making the application's statements fail; gives
 * the others, which the preflight names. `lockMs` as of `addTables`.
 */
export async function addTablesOf(
  client: pg.Client,
  config: Config,
  publication: PublicationState,
  version: number,
  tables: readonly TableDescription[],
  lockMs?: number,
): Promise<TableDescription[]> {
  if (tables.length === 0) {
    return [];
  }
  const rules = {
    version,
    publishesChanges: publication.publishes.update || publication.publishes.delete,
    sendsGenerated: false,
  };
  const unusable = (await inspectTables(client)).filter(
    (table) =>
      !table.owned ||
      judgeIdentity(table, { ...rules, keyless: matchesTable(config.keyless, table.schema, table.table) }) !== null,
  );
  const fresh = tables.filter((table) => !unusable.some((one) => holds(table, one)));
  if (fresh.length > 0) {
    await addTables(client, config.postgres.publication, fresh, lockMs);
  }
  return tables.filter((table) => !fresh.includes(table));
}

/** Whether one is the other, or a partition of it. */
function holds(table: TableDescription, part: InspectedTable): boolean {
  return (
    part.oid === table.oid ||
    part.ancestors.some((above) => above.schema === table.schema && above.table === table.table)
  );
}
