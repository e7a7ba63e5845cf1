// The second half of a start, holding the slot: end what the last holder left in flight, read how far the stream is,
// and halt on every difference between that and this server.
import type pg from "pg";
import type { CapturedTable } from "../capture/captured-table.ts";
import type { Resolution } from "../capture/relation-cache.ts";
import type { Config } from "../config/config.ts";
import { AfterimageError } from "../errors.ts";
import { formatTableName, parseTableName, transactionalIdOf } from "../event/identifier.ts";
import type { TableSchema } from "../event/schema.ts";
import { failpoint } from "../failpoint.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { TransactionalProducer } from "../kafka/transactional-producer.ts";
import { waitUntilNoOpenTransaction } from "../sink/held-topics.ts";
import { readProgress, readSchemas } from "../sink/progress-log.ts";
import { Publisher } from "../sink/publisher.ts";
import { Topics } from "../sink/topics.ts";
import { describeTables, readPublishedTables, readServerIdentity } from "../source/catalog.ts";
import { type PublicationState, readPublication } from "../source/publication.ts";
import { readSlot, type SlotState } from "../source/slot.ts";
import { CAPTURE_ENDED, checkContinuity, republished } from "./continuity.ts";
import { decide } from "./error-policy.ts";
import { beginEpoch, type EpochWish, type OpenedTables, type OpenTables } from "./new-epoch.ts";
import { checkNothingPublished } from "./nothing-published.ts";
import { addNewTables, nameUncaptured, publicationLost } from "./open-slot.ts";
import { sameSettings } from "./resume.ts";
import { SnapshotBook } from "./snapshot-book.ts";
import { nameLate, planSnapshots, readUnread } from "./snapshot-plan.ts";
import {
  checkStart,
  publicationChanged,
  publicationForeign,
  type ServerFacts,
  schemasMissing,
} from "./start-checks.ts";
import { firstProgress, identityOf, nextEpoch, serverFacts } from "./start-position.ts";
import { isExcluded, isSelected, TableResolver } from "./table-resolver.ts";

export interface OpenProgress {
  readonly publisher: Publisher;
  readonly resolver: TableResolver;
  readonly topics: Topics;
  readonly server: ServerFacts;
  readonly snapshots: SnapshotBook;
  /** The captured tables that are in the publication, by OID. */
  readonly captured: ReadonlyMap<number, CapturedTable>;
  /**
   * A captured table as the catalogue has it now; null when it is not published any more. Throws TABLE_RENAMED and
   * TABLE_REPUBLISHED.
   */
  describe(oid: number): Promise<CapturedTable | null>;
  /** Whether a start would read a table that this one has not seen, among these or all (null). */
  hasUnread(client: pg.Client, among: readonly number[] | null): Promise<boolean>;
  /** What the operator should know though it stops nothing. */
  readonly notes: readonly string[];
  /** Looks again whether publication and tables are the same; throws what `checkContinuity` and `checkPublication` throw. */
  verifyTables(client: pg.Client): Promise<string[]>;
}

/** How long one Kafka transaction may take before the broker ends it. */
export const TRANSACTION_TIMEOUT_MS = 60_000;

/** Only call this while streaming from the slot: it fences every other producer. Once `lost` has an error, none is. */
export async function openProgress(
  config: Config,
  client: pg.Client,
  connection: KafkaConnection,
  lost: { readonly error?: Error },
  wish: EpochWish | null = null,
): Promise<OpenProgress> {
  const slot = await readSlot(client, config.postgres.slot);
  const publication = await readPublication(client, config.postgres.publication);
  if (slot === null || publication === null) {
    throw new AfterimageError(
      "SLOT_LOST",
      "Slot or publication were dropped while the daemon was starting.",
      "Start again.",
    );
  }
  const topics = new Topics(connection, { stream: config.stream, ...config.kafka, overrides: config.topics });
  await topics.ensureOwn();
  failpoint("progress.topics-made");
  if (lost.error !== undefined) throw lost.error;
  const producer = new TransactionalProducer(connection, {
    transactionalId: transactionalIdOf(config.stream),
    transactionTimeoutMs: TRANSACTION_TIMEOUT_MS,
  });
  await producer.takeOver();
  try {
    return await checkedProgress(config, client, connection, { slot, publication, topics, producer, wish });
  } catch (error) {
    if (decide(error, true) === "halt") {
      // Whoever was suspended meanwhile has compared what another daemon made since then: that is no reason to halt.
      await producer.reinitialise();
    }
    throw error;
  }
}

interface Held {
  readonly slot: SlotState;
  readonly publication: PublicationState;
  readonly topics: Topics;
  readonly producer: TransactionalProducer;
  readonly wish: EpochWish | null;
}

async function checkedProgress(
  config: Config,
  client: pg.Client,
  connection: KafkaConnection,
  { slot, publication, topics, producer, wish }: Held,
): Promise<OpenProgress> {
  const progressEnd = await waitUntilNoOpenTransaction(connection, topics.progress, TRANSACTION_TIMEOUT_MS);
  const stored = await readProgress(connection, topics.progress);
  const schemas = await readSchemas(connection, topics.schemas);
  failpoint("progress.read");
  // After the record: a daemon that was stopped in between finds what another has published meanwhile, and a position of
  // the server from before that would look like one restored from a backup.
  const identity = await readServerIdentity(client);
  if (stored === null) {
    await checkNothingPublished(connection, config.stream);
  } else if (stored.sequence > 0 && schemas.length === 0) {
    throw schemasMissing(topics.schemas);
  }
  const server = await serverFacts(config, { identity, slot, publication }, stored);
  const before = stored !== null && wish !== null && !wish.done ? stored : null;
  if (stored !== null && before === null) {
    checkStart(stored, server);
  }
  failpoint("progress.checked");
  // Only now: a server that is not the stream's keeps its publication as it is.
  await addNewTables(client, config, publication, identity.version);
  const progress =
    before === null
      ? { ...(stored ?? firstProgress(config.stream, server)), ...identityOf(server) }
      : nextEpoch(before, server);
  const publisher = new Publisher(connection, producer, progress, {
    progressTopic: topics.progress,
    schemasTopic: topics.schemas,
    transactionTimeoutMs: TRANSACTION_TIMEOUT_MS,
    progressEnd,
    stored,
    knownSchemas: schemas.map(({ schema }) => schema),
  });
  if (stored === null) {
    await publisher.publish({ ...progress, events: [] });
    failpoint("progress.first-stored");
  }
  const resolver = new TableResolver(client, publication.oid, config, topics, schemas);
  const parts = { client, publication: publication.oid, publisher, resolver, topics };
  const { tables, notes } =
    before === null
      ? await recordTables(config, parts, schemas, stored !== null && !sameSettings(stored.resume, server.resume))
      : await beginEpoch(parts, wish!);
  const captured = new Map(tables.map((table) => [table.encoder.schema.oid, table]));
  const goingOn = publisher.progress.snapshot.filter((entry) => captured.has(entry.oid));
  const verifyTables = async (other: pg.Client) => {
    const now = await checkPublication(other, config, server);
    const inForce = resolver.inForce();
    const oids = inForce.map((schema) => schema.oid);
    const notes = checkContinuity(inForce, await describeTables(other, server.publication, oids));
    const late = config.snapshot === "never" ? nameLate(inForce, captured) : [];
    return [...notes, ...late, ...(await nameUncaptured(other, config, now))];
  };
  return {
    publisher,
    resolver,
    topics,
    server,
    snapshots: new SnapshotBook(goingOn),
    captured,
    describe: async (table) => {
      // One that was renamed is not gone: its rows are still to be read once it has its name again.
      checkContinuity(
        resolver.inForce().filter(({ oid }) => oid === table),
        await describeTables(client, publication.oid, [table]),
      );
      const [published] = await readPublishedTables(client, publication.oid, [table]);
      return published === undefined ? null : asCaptured(await resolver.register(published));
    },
    hasUnread: async (other, among) =>
      config.snapshot !== "never" && (await readUnread(other, publication.oid, resolver, config, among)).length > 0,
    notes,
    verifyTables,
  };
}

/** Records the tables that are new, and which of them are to be read. */
async function recordTables(
  config: Config,
  { client, publication, publisher, resolver, topics }: OpenTables,
  schemas: readonly TableSchema[],
  settingsChanged: boolean,
): Promise<OpenedTables> {
  const { tables, ended, notes } = await checkTables(client, publication, resolver, topics, config, settingsChanged);
  const known = new Set(schemas.map(({ schema }) => schema));
  const fresh = tables.filter(({ encoder }) => !schemas.some(({ table }) => table === encoder.schema.table));
  const plan = config.snapshot === "never" ? [] : await planSnapshots(client, fresh);
  const current = [...ended, ...tables.map(({ encoder }) => encoder.schema)];
  const unwritten = current.filter(({ schema }) => !known.has(schema));
  if (unwritten.length > 0) {
    // In one transaction: a table that is recorded and not planned would never be read.
    const snapshot = [...publisher.progress.snapshot, ...plan];
    await publisher.publish({ ...publisher.progress, snapshot, events: [] }, unwritten);
    failpoint("progress.schemas-stored");
  }
  return { tables, notes };
}

/** Throws PUBLICATION_LOST, PUBLICATION_FOREIGN or PUBLICATION_CHANGED. */
async function checkPublication(
  client: pg.Client,
  { stream, postgres }: Config,
  started: ServerFacts,
): Promise<PublicationState> {
  const publication = await readPublication(client, postgres.publication);
  if (publication === null) {
    throw publicationLost(stream, postgres.publication);
  }
  if (publication.oid !== started.publication) {
    throw publicationForeign();
  }
  if (publication.xmin !== started.publicationXmin) {
    throw publicationChanged(started.publicationXmin, publication.xmin);
  }
  return publication;
}

/**
 * Every table is the one it was, and so is its topic; only then new ones are recorded, and those that the configuration
 * excludes are ended.
 */
async function checkTables(
  client: pg.Client,
  publication: number,
  resolver: TableResolver,
  topics: Topics,
  { tables }: Config,
  settingsChanged: boolean,
): Promise<{ tables: CapturedTable[]; ended: TableSchema[]; notes: string[] }> {
  const inForce = resolver.inForce();
  const described = await describeTables(
    client,
    publication,
    inForce.map(({ oid }) => oid),
  );
  const excluded = inForce.filter(({ oid, table }) => {
    const name = parseTableName(table);
    const ancestors = described.find((now) => now.oid === oid)?.ancestors ?? [];
    // With the same settings as before a table that is not selected any more is a partition that was detached: what
    // was written to it until then still counts.
    return isExcluded(tables, name) || (settingsChanged && !isSelected(tables, { ...name, ancestors }));
  });
  const kept = inForce.filter((schema) => !excluded.includes(schema));
  const notes = checkContinuity(kept, described);
  await topics.verifyKept(kept, TRANSACTION_TIMEOUT_MS);
  const latest = resolver.latest();
  const captured = (await readPublishedTables(client, publication)).filter((table) => resolver.isCaptured(table));
  for (const { oid, schema, table } of captured) {
    const name = formatTableName(schema, table);
    const recorded = latest.find((version) => version.table === name);
    if (recorded !== undefined && (recorded.publicationRel === CAPTURE_ENDED || recorded.oid !== oid)) {
      throw republished(name);
    }
  }
  const ended = excluded.map((schema) => resolver.end(schema));
  const registered: Resolution[] = [];
  for (const table of captured) {
    registered.push(await resolver.register(table));
  }
  return {
    tables: registered.map(asCaptured).filter((table) => table !== null),
    ended,
    notes: [
      ...notes,
      ...ended.map(({ table }) => `Table ${table} is excluded now: its rows that are not published yet never will be.`),
    ],
  };
}

const asCaptured = (resolution: Resolution): CapturedTable | null => (resolution.topic === null ? null : resolution);
