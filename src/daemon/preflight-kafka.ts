// What must hold of Kafka before a start: it answers, no topic name collides, and topics that exist can be used.
// Reads only; no topic is created by looking.
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config/config.ts";
import { AfterimageError } from "../errors.ts";
import { formatTableName, progressTopic, schemasTopic, tableTopic } from "../event/identifier.ts";
import { KafkaConnection, type KafkaSettings } from "../kafka/connection.ts";
import { describeTopics, listTopicNames, type TopicDescription, topicConfig } from "../kafka/topics.ts";
import { type Finding, ok, problem, warning } from "../source/finding.ts";

export interface TableName {
  readonly schema: string;
  readonly table: string;
}

export interface KafkaPatience {
  readonly waitMs: number;
  readonly onWaiting?: (line: string) => void;
  /** Ends the waiting; what was found so far counts. */
  readonly signal?: AbortSignal;
}

export function kafkaSettings({ brokers, clientId, ssl, sasl }: Config["kafka"]): KafkaSettings {
  return { brokers, clientId, ssl, ...(sasl === undefined ? {} : { sasl }) };
}

const RETRY_EVERY_MS = 500;

/** The connection, or the finding that says why there is none. A broker that refuses a login is not waited for. */
export async function connectKafka(
  settings: KafkaSettings,
  patience: KafkaPatience,
): Promise<{ connection: KafkaConnection } | { finding: Finding }> {
  const started = performance.now();
  const deadline = started + patience.waitMs;
  for (let attempts = 0; ; attempts++) {
    try {
      return { connection: await KafkaConnection.connect({ ...settings, requestTimeoutMs: 10_000 }) };
    } catch (error) {
      if (!(error instanceof AfterimageError)) throw error;
      const over = performance.now() >= deadline || patience.signal?.aborted === true;
      if (error.code !== "KAFKA_UNREACHABLE" || over) {
        const waited = Math.round((performance.now() - started) / 1000);
        const tried = error.code === "KAFKA_UNREACHABLE" && waited > 0 ? ` Tried for ${waited} s.` : "";
        return { finding: problem(error.code, `${error.message}${tried}`, error.advice) };
      }
      if (attempts === 0) {
        patience.onWaiting?.(
          `Kafka at ${settings.brokers.join(", ")} does not answer yet; trying for ${Math.ceil(patience.waitMs / 1000)} s.`,
        );
      }
    }
    const pause = Math.min(RETRY_EVERY_MS, Math.max(1, deadline - performance.now()));
    await sleep(pause, undefined, {
      ref: true,
      ...(patience.signal === undefined ? {} : { signal: patience.signal }),
    }).catch(
      () => undefined, // the signal: the next round reports
    );
  }
}

/** Checks the topics that these tables and the stream itself have or would get. */
export async function checkTopics(
  connection: KafkaConnection,
  config: Pick<Config, "stream" | "topics" | "kafka">,
  tables: readonly TableName[],
): Promise<Finding[]> {
  const existing = await listTopicNames(connection);
  const wanted = tables.map((table) => ({ table, name: topicOf(config, table) }));
  const own = [progressTopic(config.stream), schemasTopic(config.stream)];
  const described = await describeTopics(connection, [...new Set([...own, ...wanted.map(({ name }) => name)])]);
  const findings: Finding[] = [ok("KAFKA_UNREACHABLE", `Kafka at ${config.kafka.brokers.join(", ")}`)];
  for (const [index, { table, name }] of wanted.entries()) {
    const rivals = [...existing, ...own, ...wanted.slice(0, index).map((earlier) => earlier.name)];
    findings.push(...judgeName(table, name, rivals));
  }
  for (const { table, name } of wanted) {
    const topic = described.get(name);
    if (topic !== undefined) findings.push(...(await judgeTopic(connection, topic, config.kafka.partitions, table)));
  }
  for (const name of own) {
    const topic = described.get(name);
    if (topic !== undefined && topic.partitions !== 1) {
      findings.push(
        problem("TOPIC_PARTITIONS", `Topic ${name} has ${topic.partitions} partitions, it must have one.`, DROP_TOPICS),
      );
    }
  }
  if (described.has(own[0]!)) findings.push(...(await judgeProgress(connection, own[0]!)));
  if (described.has(own[1]!)) findings.push(...(await judgeSchemas(connection, own[1]!)));
  if (findings.length === 1) findings.push(ok("TOPIC_COLLISION", `${wanted.length} topic names are free or fit`));
  return findings;
}

const DROP_TOPICS = "Delete it (afterimage drop STREAM --topics), and start again.";

const topicOf = ({ stream, topics }: Pick<Config, "stream" | "topics">, { schema, table }: TableName): string =>
  topics.find((each) => each.schema === schema && each.table === table)?.topic ?? tableTopic(stream, schema, table);

const LONGEST_NAME = 249;

/** Pure: judges one topic name against all others. Kafka takes `.` and `_` in names for the same. */
export function judgeName({ schema, table }: TableName, name: string, others: readonly string[]): Finding[] {
  const of = formatTableName(schema, table);
  const remedy = `Name another topic for it: topics: { ${JSON.stringify(of)}: "…" }.`;
  if (name.length > LONGEST_NAME) {
    const what = `The topic name of ${of} has ${name.length} characters, Kafka allows ${LONGEST_NAME}.`;
    return [problem("TOPIC_NAME_TOO_LONG", what, remedy)];
  }
  const folded = name.replaceAll(".", "_");
  const rival = others.find((other) => other !== name && other.replaceAll(".", "_") === folded);
  return rival === undefined
    ? []
    : [
        problem(
          "TOPIC_COLLISION",
          `Topic ${name} of ${of} collides with topic ${rival}: Kafka takes . and _ for the same.`,
          remedy,
        ),
      ];
}

async function judgeTopic(
  connection: KafkaConnection,
  topic: TopicDescription,
  partitions: number,
  { schema, table }: TableName,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  if (topic.partitions !== partitions) {
    findings.push(
      problem(
        "TOPIC_PARTITIONS",
        `Topic ${topic.name} has ${topic.partitions} partitions, ${partitions} are configured.`,
        `Set kafka.partitions to ${topic.partitions} if it always had as many, or name another topic: topics: { ${JSON.stringify(formatTableName(schema, table))}: "…" }. If partitions were added to it, rebuild the stream: afterimage drop STREAM --topics, then start.`,
      ),
    );
  }
  const settings = await topicConfig(connection, topic.name);
  const policy = settings.get("cleanup.policy") ?? "delete";
  if (policy.includes("compact")) {
    findings.push(
      warning(
        "TOPIC_COMPACTED",
        `Topic ${topic.name} is compacted: an event with unchanged columns may outlive the one that held their values, and no view can be rebuilt from the topic alone.`,
        alterTopic(topic.name, "cleanup.policy=delete,retention.ms=-1"),
      ),
    );
  } else if (forgets(settings)) {
    findings.push(
      warning(
        "TOPIC_RETENTION",
        `Topic ${topic.name} forgets events after a time or size: a view can't be rebuilt from the topic alone.`,
        alterTopic(topic.name, "retention.ms=-1,retention.bytes=-1"),
      ),
    );
  }
  return findings;
}

async function judgeProgress(connection: KafkaConnection, name: string): Promise<Finding[]> {
  const settings = await topicConfig(connection, name);
  const policy = settings.get("cleanup.policy");
  if (policy === "compact") return [];
  return [
    problem(
      "PROGRESS_POLICY",
      `Topic ${name} has cleanup.policy=${policy}: Kafka may delete the record that holds the stream's position.`,
      alterTopic(name, "cleanup.policy=compact"),
    ),
  ];
}

async function judgeSchemas(connection: KafkaConnection, name: string): Promise<Finding[]> {
  const settings = await topicConfig(connection, name);
  // Compaction alone takes nothing away: each shape has a key of its own.
  if (settings.get("cleanup.policy") === "compact" || !forgets(settings)) return [];
  return [
    problem(
      "SCHEMAS_POLICY",
      `Topic ${name} forgets records after a time or size: they hold the shapes that events refer to, and by which tables are known again.`,
      alterTopic(name, "retention.ms=-1,retention.bytes=-1"),
    ),
  ];
}

const forgets = (settings: ReadonlyMap<string, string>): boolean =>
  settings.get("retention.ms") !== "-1" || (settings.get("retention.bytes") ?? "-1") !== "-1";

const alterTopic = (name: string, settings: string): string =>
  `kafka-configs.sh --bootstrap-server BROKER --alter --entity-type topics --entity-name ${name} --add-config ${settings}`;
