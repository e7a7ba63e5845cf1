// The second half of a start, holding the slot: end what the last holder left in flight, read how far the stream is,
// and halt on every difference between that and this server.
import type pg from "pg";
import type { CapturedTable } from "../capture/captured-table.ts";
import type { Config } from "../config/config.ts";
import { AfterimageError } from "../errors.ts";
import { formatTableName, transactionalIdOf } from "../event/identifier.ts";
import type { Progress } from "../event/progress.ts";
import type { TableSchema } from "../event/schema.ts";
import { failpoint } from "../failpoint.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { TransactionalProducer } from "../kafka/transactional-producer.ts";
import { waitUntilNoOpenTransaction, waitUntilNothingHeld } from "../sink/held-topics.ts";
import { readProgress, readSchemas } from "../sink/progress-log.ts";
import { Publisher } from "../sink/publisher.ts";
import { checkWhole, initialiseAndSettle } from "../sink/settle.ts";
import { Topics } from "../sink/topics.ts";
import { describeTables, readPublishedTables, readServerIdentity } from "../source/catalog.ts";
import { type PublicationState, readPublication } from "../source/publication.ts";
import { readSlot, type SlotState } from "../source/slot.ts";
import { checkContinuity } from "./continuity.ts";
import { decide } from "./error-policy.ts";
import { type MessageTopic, openMessages } from "./message-topic.ts";
import { beginEpoch, type EpochWish, type OpenedTables, type OpenTables } from "./new-epoch.ts";
import { checkNothingPublished } from "./nothing-published.ts";
import { addTablesOf, readUnnamed } from "./open-slot.ts";
import { sameSettings } from "./resume.ts";
import { SnapshotBook } from "./snapshot-book.ts";
import { checkStart, type ServerFacts, schemasMissing } from "./start-checks.ts";
import { firstProgress, identityOf, nextEpoch, serverFacts } from "./start-position.ts";
import { asCaptured, checkTables } from "./start-tables.ts";
import { TableResolver } from "./table-resolver.ts";

export interface OpenProgress {
  readonly publisher: Publisher;
  readonly resolver: TableResolver;
  readonly topics: Topics;
  readonly server: ServerFacts;
  readonly snapshots: SnapshotBook;
  /** Null when no message is published. */
  readonly messages: MessageTopic | null;
  /**
   * A captured table as the catalogue has it now; null when it is not published any more, or not by that name. Throws
   * TABLE_RENAMED and TABLE_REPUBLISHED where these halt.
   */
  describe(oid: number): Promise<CapturedTable | null>;
  /** What the operator should know though it stops nothing. */
  readonly notes: readonly string[];
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
  standby: pg.Client | null = null,
): Promise<OpenProgress> {
  const slot = await readSlot(standby ?? client, config.postgres.slot);
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
  const producer = new TransactionalProducer(connection, {
    transactionalId: transactionalIdOf(config.stream),
    transactionTimeoutMs: TRANSACTION_TIMEOUT_MS,
  });
  const settled: string[] = [];
  const own = { connection, producer, progressTopic: topics.progress, schemasTopic: topics.schemas, notes: settled };
  const takeOver = () => {
    if (lost.error !== undefined) throw lost.error;
    return producer.takeOver();
  };
  await initialiseAndSettle(own, takeOver, () => topics.allPlaces());
  try {
    return await checkedProgress(config, client, connection, { slot, publication, topics, producer, wish, settled });
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
  /** Notes. */
  readonly settled: readonly string[];
}

async function checkedProgress(
  config: Config,
  client: pg.Client,
  connection: KafkaConnection,
  { slot, publication, topics, producer, wish, settled }: Held,
): Promise<OpenProgress> {
  const progressEnd = await waitUntilNoOpenTransaction(connection, topics.progress, TRANSACTION_TIMEOUT_MS);
  await waitUntilNothingHeld(connection, [{ topic: topics.schemas, partition: 0 }], TRANSACTION_TIMEOUT_MS);
  const stored = await readProgress(connection, topics.progress);
  const schemas = await readSchemas(connection, topics.schemas);
  failpoint("progress.read");
  // After the record: a daemon that was stopped in between finds what another has published meanwhile, and a position of
  // the server from before that would look like one restored from a backup.
  const identity = await readServerIdentity(client);
  await checkWhole(connection, stored, topics.schemas);
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
  const unnamed = await readUnnamed(client, config, publication);
  await addTablesOf(client, config, publication, identity.version, unnamed);
  const messages = await openMessages(topics, config, stored?.messagesTopicId);
  const messagesTopicId = messages?.id ?? stored?.messagesTopicId;
  const progress: Progress =
    before === null
      ? { ...(stored ?? firstProgress(config.stream, server)), ...identityOf(server), messagesTopicId }
      : { ...nextEpoch(before, server), messagesTopicId };
  const publisher = new Publisher(connection, producer, progress, {
    progressTopic: topics.progress,
    schemasTopic: topics.schemas,
    transactionTimeoutMs: TRANSACTION_TIMEOUT_MS,
    progressEnd,
    stored,
    knownSchemas: schemas.map(({ schema }) => schema),
  });
  // A topic that no record names is not known as the stream's.
  if (stored === null || (before === null && stored.messagesTopicId !== messagesTopicId)) {
    await publisher.publish({ ...progress, events: [] });
    failpoint("progress.first-stored");
  }
  const resolver = new TableResolver(client, publication.oid, config, topics, schemas);
  const parts = { client, publication: publication.oid, publisher, resolver, topics };
  const settingsChanged = stored !== null && !sameSettings(stored.resume, server.resume);
  const { tables, notes } =
    before === null ? await recordTables(config, parts, schemas, settingsChanged) : await beginEpoch(parts, wish!);
  const published = new Set(tables.map(({ encoder }) => encoder.schema.oid));
  const goingOn = publisher.progress.snapshot.filter((entry) => published.has(entry.oid));
  return {
    publisher,
    resolver,
    topics,
    server,
    snapshots: new SnapshotBook(goingOn, tables, resolver.latest(), config, before !== null),
    messages,
    describe: async (table) => {
      const [published] = await readPublishedTables(client, publication.oid, [table]);
      const recorded = resolver.inForce().filter(({ oid }) => oid === table);
      if (config.onRewrite === "halt") {
        // One that was renamed is not gone: its rows are still to be read once it has its name again.
        checkContinuity(recorded, await describeTables(client, publication.oid, [table]));
      }
      const isNamed =
        published !== undefined && formatTableName(published.schema, published.table) === recorded[0]?.table;
      return isNamed ? asCaptured(await resolver.register(published)) : null;
    },
    notes: [...settled, ...notes],
  };
}

/** Records the tables that are new or were changed, and which of them are to be read. */
async function recordTables(
  config: Config,
  parts: OpenTables,
  schemas: readonly TableSchema[],
  settingsChanged: boolean,
): Promise<OpenedTables> {
  const { publisher } = parts;
  const underWay = publisher.progress.snapshot;
  const { tables, ended, notes, plan } = await checkTables(parts, config, {
    settingsChanged,
    underWay,
    timeoutMs: TRANSACTION_TIMEOUT_MS,
  });
  const known = new Set(schemas.map(({ schema }) => schema));
  const current = [...ended, ...tables.map(({ encoder }) => encoder.schema)];
  const unwritten = current.filter(({ schema }) => !known.has(schema));
  if (unwritten.length > 0) {
    // In one transaction: a table that is recorded and not planned would never be read.
    await publisher.publish({ ...publisher.progress, snapshot: plan, events: [] }, unwritten);
    failpoint("progress.schemas-stored");
  }
  return { tables, notes };
}
