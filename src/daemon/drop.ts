// Removes a stream: its slot, its publication, and its topics if asked. In this order, each may already be gone, so
// that an interrupted drop is finished by the next one. What is not ours stays.
import type pg from "pg";
import type { Config } from "../config/config.ts";
import { AfterimageError } from "../errors.ts";
import { messagesTopic, parseTableName, progressTopic, schemasTopic, tableTopic } from "../event/identifier.ts";
import type { Progress } from "../event/progress.ts";
import { failpoint } from "../failpoint.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { deleteTopics, describeTopics } from "../kafka/topics.ts";
import { readProgress, readSchemas } from "../sink/progress-log.ts";
import { readServerIdentity } from "../source/catalog.ts";
import { dropOrphans } from "../source/orphans.ts";
import { connectPatiently } from "../source/preflight-connection.ts";
import { dropPublication, readPublication } from "../source/publication.ts";
import { closeSql } from "../source/session.ts";
import { dropSlot, readSlot } from "../source/slot.ts";
import { connectKafka, kafkaSettings } from "./preflight-kafka.ts";
import { slotServer } from "./slot-server.ts";

export interface DropTarget {
  readonly stream: string;
  readonly postgres: Config["postgres"];
  /** Null: topics stay. */
  readonly topics: Pick<Config, "kafka" | "topics"> | null;
  /** Whether they go though another server or database filled them. */
  readonly foreignServer: boolean;
}

/** What there is to remove. */
export interface DropPlan {
  readonly slot: { readonly name: string; readonly retainedBytes: number } | null;
  readonly publication: string | null;
  /** A publication of that name that somebody else made; it stays. */
  readonly foreignPublication: string | null;
  /** Topics of events first, then the two that tell of them. */
  readonly topics: readonly string[];
}

export interface Drop {
  readonly plan: DropPlan;
  /** Removes it, and calls `done` with a line after each step. */
  run(done: (line: string) => void): Promise<void>;
  close(): Promise<void>;
}

/**
 * Looks, and removes nothing yet. Throws SLOT_IN_USE while a daemon streams, SLOT_FOREIGN, SERVER_FOREIGN, and
 * connection errors.
 */
export async function openDrop(target: DropTarget): Promise<Drop> {
  const connected = await connectPatiently(target.postgres, { waitMs: 0 });
  if ("finding" in connected) throw asError(connected.finding);
  const { client } = connected;
  let standby: pg.Client | null = null;
  let kafka: KafkaConnection | null = null;
  const close = async () => {
    await closeSql(client);
    if (standby !== null) await closeSql(standby);
    await kafka?.close();
  };
  try {
    if (target.topics !== null) {
      const reached = await connectKafka(kafkaSettings(target.topics.kafka), { waitMs: 0 });
      if ("finding" in reached) throw asError(reached.finding);
      kafka = reached.connection;
    }
    if (target.postgres.standbyUrl !== undefined) {
      const other = await connectPatiently(slotServer(target.postgres), { waitMs: 0 });
      if ("finding" in other) throw asError(other.finding);
      standby = other.client;
    }
    const holder = standby ?? client;
    const postgres = await planPostgres(client, holder, target.postgres);
    if (kafka !== null && !target.foreignServer) await requireOwnServer(client, kafka, target.stream);
    const plan = {
      ...postgres,
      topics: kafka === null ? [] : await streamTopics(kafka, target.stream, target.topics?.topics ?? []),
    };
    return { plan, run: (done) => remove({ client, holder, kafka }, plan, done), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Where slot and daemon are, only the server knows that filled the topics; at another one they look abandoned. */
async function requireOwnServer(client: pg.Client, kafka: KafkaConnection, stream: string): Promise<void> {
  const progress = await lastProgress(kafka, stream);
  if (progress === null) return;
  const { systemId, database } = await readServerIdentity(client);
  if (progress.systemId === systemId && progress.database === database) return;
  throw new AfterimageError(
    "SERVER_FOREIGN",
    `The topics of stream ${stream} were filled from another ${progress.systemId === systemId ? "database of this server" : "server"}; whether a daemon streams there can't be seen from here.`,
    `Name that database in postgres.url. If it is gone for good (after pg_upgrade, say): afterimage drop ${stream} --topics --foreign-server.`,
  );
}

/** Null also when it can't be read: then the topics are good for nothing but to be deleted. */
async function lastProgress(kafka: KafkaConnection, stream: string): Promise<Progress | null> {
  const topic = progressTopic(stream);
  if (!(await describeTopics(kafka, [topic])).has(topic)) return null;
  try {
    return await readProgress(kafka, topic);
  } catch (error) {
    if (error instanceof AfterimageError && error.code === "PROGRESS_FOREIGN") return null;
    throw error;
  }
}

async function planPostgres(
  client: pg.Client,
  holder: pg.Client,
  { slot, publication }: Config["postgres"],
): Promise<Omit<DropPlan, "topics">> {
  const found = await readSlot(holder, slot);
  if (found?.activePid != null) {
    throw new AfterimageError(
      "SLOT_IN_USE",
      `Replication slot ${slot} is in use (process ${found.activePid} of the server): a daemon streams from it.`,
      "Stop it first: afterimage stop, there where it runs.",
    );
  }
  if (found !== null && found.plugin !== "pgoutput") {
    throw new AfterimageError(
      "SLOT_FOREIGN",
      `Replication slot ${slot} is for plugin ${found.plugin}: afterimage did not make it.`,
      "Name the stream's own slot in postgres.slot.",
    );
  }
  // Names of slots are the server's, so it may be the one of another stream of this name, in another database.
  if (found !== null && !found.here) {
    throw new AfterimageError(
      "SLOT_FOREIGN",
      `Replication slot ${slot} belongs to another database of this server: afterimage would remove another stream's.`,
      `Name that database in postgres.url: SELECT database FROM pg_replication_slots WHERE slot_name = '${slot}';`,
    );
  }
  const state = await readPublication(client, publication);
  return {
    slot: found === null ? null : { name: slot, retainedBytes: found.retainedBytes },
    publication: state?.ours === true ? publication : null,
    foreignPublication: state?.ours === false ? publication : null,
  };
}

/** Only what the stream recorded as its own, never whatever begins with its name. */
async function streamTopics(
  connection: KafkaConnection,
  stream: string,
  overrides: Config["topics"],
): Promise<string[]> {
  const schemas = schemasTopic(stream);
  const progress = progressTopic(stream);
  const own = await describeTopics(connection, [schemas, progress]);
  const recorded = own.has(schemas) ? await readSchemas(connection, schemas) : [];
  const names = recorded.flatMap(({ table: text }) => {
    const { schema, table } = parseTableName(text);
    const override = overrides.find((each) => each.schema === schema && each.table === table);
    return override === undefined ? [tableTopic(stream, schema, table)] : [override.topic];
  });
  if ((await lastProgress(connection, stream))?.messagesTopicId !== undefined) {
    names.push(messagesTopic(stream));
  }
  const tables = await describeTopics(connection, [...new Set(names)]);
  return [...[...tables.keys()].sort(), ...[schemas, progress].filter((name) => own.has(name))];
}

async function remove(
  { client, holder, kafka }: { client: pg.Client; holder: pg.Client; kafka: KafkaConnection | null },
  plan: DropPlan,
  done: (line: string) => void,
): Promise<void> {
  failpoint("drop.begun");
  if (plan.slot !== null && (await dropSlot(holder, plan.slot.name)))
    done(`Dropped replication slot ${plan.slot.name}.`);
  failpoint("drop.slot-dropped");
  if (plan.publication !== null) {
    await dropPublication(client, plan.publication);
    failpoint("drop.publication-dropped");
    done(`Dropped publication ${plan.publication}.`);
  }
  for (const orphan of await dropOrphans(client))
    done(`Dropped publication ${orphan}, which an interrupted tail left.`);
  if (kafka === null) return;
  for (const topic of plan.topics) {
    await deleteTopics(kafka, [topic]);
    failpoint("drop.topic-deleted");
    done(`Deleted topic ${topic}.`);
  }
}

const asError = ({ code, what, remedy }: { code: string; what: string; remedy: string }): AfterimageError =>
  new AfterimageError(code, what, remedy);
