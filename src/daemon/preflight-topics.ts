// What must hold of the stream's topics before a start: no name collides, and those that exist can be used. Reads only;
// no topic is created by looking. https://kafka.apache.org/documentation/#topicconfigs
import type { Config } from "../config/config.ts";
import { formatTableName, messagesTopic, progressTopic, schemasTopic, tableTopic } from "../event/identifier.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { describeTopics, listTopicNames, type TopicDescription, topicConfig } from "../kafka/topics.ts";
import {
  type Finding,
  inTurn,
  note,
  ok,
  problem,
  remedy,
  type Step,
  setting,
  shell,
  warning,
} from "../source/finding.ts";

export interface TableName {
  readonly schema: string;
  readonly table: string;
}

type Checked = Pick<Config, "stream" | "topics" | "kafka" | "messages">;
type Settings = ReadonlyMap<string, string>;
/** The command that sets a topic's settings. */
type Alter = (name: string, settings: string) => Step;

/** Checks the topics that these tables and the stream itself have or would get. */
export async function checkTopics(
  connection: KafkaConnection,
  config: Checked,
  tables: readonly TableName[],
): Promise<Finding[]> {
  const existing = await listTopicNames(connection);
  const messages = messagesOf(config);
  const wanted: { table: TableName | null; name: string }[] = [
    ...(messages === null ? [] : [{ table: null, name: messages }]),
    ...tables.map((table) => ({ table, name: topicOf(config, table) })),
  ];
  const own = [progressTopic(config.stream), schemasTopic(config.stream)];
  const described = await describeTopics(connection, [...new Set([...own, ...wanted.map(({ name }) => name)])]);
  const findings: Finding[] = [];
  for (const [index, { table, name }] of wanted.entries()) {
    const rivals = [...existing, ...own, ...wanted.slice(0, index).map((earlier) => earlier.name)];
    findings.push(...(table === null ? judgeMessages(name, rivals) : judgeName(table, name, rivals, config.topics)));
  }
  const alter: Alter = (name, settings) =>
    shell(
      `kafka-configs.sh --bootstrap-server ${brokersOf(config)} --alter --entity-type topics --entity-name ${name} --add-config ${settings}`,
    );
  for (const { table, name } of wanted) {
    const topic = described.get(name);
    if (topic === undefined) continue;
    const settings = await topicConfig(connection, name);
    findings.push(...judgePartitions(topic, config, table), ...judgeKept(name, settings, alter));
    findings.push(...judgeSettings(topic, settings, alter, warning));
  }
  for (const [index, name] of own.entries()) {
    const topic = described.get(name);
    if (topic === undefined) continue;
    if (topic.partitions !== 1) {
      findings.push(
        problem(
          "TOPIC_PARTITIONS",
          `Topic ${name} has ${topic.partitions} partitions, it must have one.`,
          remedy`Delete it (${shell(`afterimage drop ${config.stream} --topics`)}), and start again.`,
        ),
      );
    }
    const settings = await topicConfig(connection, name);
    findings.push(...(index === 0 ? judgeProgress : judgeSchemas)(name, settings, alter));
    findings.push(...judgeSettings(topic, settings, alter, problem));
  }
  const isFine = findings.every(({ severity }) => severity === "note");
  return [...findings, ...(isFine ? [ok("TOPIC_COLLISION", `${wanted.length} topic names are free or fit`)] : [])];
}

/** For a command line; no broker's name holds what a shell would read, but for brackets. */
export const brokersOf = ({ kafka }: Pick<Config, "kafka">): string => {
  const text = kafka.brokers.join(",");
  return text.includes("[") ? `'${text}'` : text;
};

export const topicOf = ({ stream, topics }: Pick<Config, "stream" | "topics">, { schema, table }: TableName): string =>
  topics.find((each) => each.schema === schema && each.table === table)?.topic ?? tableTopic(stream, schema, table);

/** Null where no message is published. */
const messagesOf = ({ stream, messages }: Pick<Config, "stream" | "messages">): string | null =>
  messages.prefixes.length === 0 ? null : messagesTopic(stream);

/** The topics that events of these tables, and messages, go to. */
export const eventTopicsOf = (config: Checked, tables: readonly TableName[]): string[] => [
  ...tables.map((table) => topicOf(config, table)),
  ...[messagesOf(config)].filter((name) => name !== null),
];

const LONGEST_NAME = 249;

/** Pure: judges one topic name against all others. Kafka takes `.` and `_` in names for the same. */
export function judgeName(
  { schema, table }: TableName,
  name: string,
  others: readonly string[],
  overrides: Config["topics"] = [],
): Finding[] {
  const of = formatTableName(schema, table);
  const remedyOf = (topic: string) =>
    remedy`Name another topic for it: ${setting(renaming({ schema, table }, topic, overrides))}.`;
  if (name.length > LONGEST_NAME) {
    const what = `The topic name of ${of} has ${name.length} characters, Kafka allows ${LONGEST_NAME}.`;
    return [problem("TOPIC_NAME_TOO_LONG", what, remedyOf(`${name.slice(0, LONGEST_NAME - 1)}~`.replace("~", "-")))];
  }
  const folded = (text: string) => text.replaceAll(".", "_");
  const rival = others.find((other) => other !== name && folded(other) === folded(name));
  if (rival === undefined) return [];
  return [
    problem(
      "TOPIC_COLLISION",
      `Topic ${name} of ${of} collides with topic ${rival}: Kafka takes . and _ for the same.`,
      remedyOf(`${name.slice(0, LONGEST_NAME - 4)}-cdc`),
    ),
  ];
}

function judgeMessages(name: string, others: readonly string[]): Finding[] {
  const rival = others.find((other) => other !== name && other.replaceAll(".", "_") === name.replaceAll(".", "_"));
  if (rival === undefined) return [];
  return [
    problem(
      "TOPIC_COLLISION",
      `Topic ${name}, for messages, collides with topic ${rival}: Kafka takes . and _ for the same.`,
      "Choose another stream name, or publish no messages (messages.prefixes: []).",
    ),
  ];
}

/** The whole setting: YAML takes a key once. */
function renaming(table: TableName, topic: string, overrides: Config["topics"]): string {
  const others = overrides.filter((each) => each.schema !== table.schema || each.table !== table.table);
  const entries = [...others, { ...table, topic }].map(
    (each) => `${JSON.stringify(formatTableName(each.schema, each.table))}: ${JSON.stringify(each.topic)}`,
  );
  return `topics: { ${entries.join(", ")} }`;
}

function judgePartitions(topic: TopicDescription, { stream, kafka }: Checked, of: TableName | null): Finding[] {
  if (topic.partitions === kafka.partitions) return [];
  const another =
    of === null
      ? ""
      : `, or name another topic: topics: { ${JSON.stringify(formatTableName(of.schema, of.table))}: "…" }`;
  return [
    problem(
      "TOPIC_PARTITIONS",
      `Topic ${topic.name} has ${topic.partitions} partitions, ${kafka.partitions} are configured.`,
      remedy`Set kafka.partitions to ${String(topic.partitions)} if it always had as many${another}. If partitions were added to it, rebuild the stream: afterimage drop ${stream} --topics, then start.`,
    ),
  ];
}

function judgeKept(name: string, settings: Settings, alter: Alter): Finding[] {
  const policy = settings.get("cleanup.policy") ?? "delete";
  if (policy.includes("compact")) {
    return [
      warning(
        "TOPIC_COMPACTED",
        `Topic ${name} is compacted: an event with unchanged columns may outlive the one that held their values, and no view can be rebuilt from the topic alone.`,
        inTurn([alter(name, "cleanup.policy=delete,retention.ms=-1,retention.bytes=-1")]),
      ),
    ];
  }
  if (!forgets(settings)) return [];
  return [
    warning(
      "TOPIC_RETENTION",
      `Topic ${name} forgets events after a time or size: a view can't be rebuilt from the topic alone.`,
      inTurn([alter(name, "retention.ms=-1,retention.bytes=-1")]),
    ),
  ];
}

function judgeProgress(name: string, settings: Settings, alter: Alter): Finding[] {
  const policy = settings.get("cleanup.policy");
  if (policy === "compact") return [];
  return [
    problem(
      "PROGRESS_POLICY",
      `Topic ${name} has cleanup.policy=${policy}: Kafka may delete the record that holds the stream's position.`,
      inTurn([alter(name, "cleanup.policy=compact")]),
    ),
  ];
}

function judgeSchemas(name: string, settings: Settings, alter: Alter): Finding[] {
  // Compaction alone takes nothing away: each shape has a key of its own.
  if (settings.get("cleanup.policy") === "compact" || !forgets(settings)) return [];
  return [
    problem(
      "SCHEMAS_POLICY",
      `Topic ${name} forgets records after a time or size: they hold the shapes that events refer to, and by which tables are known again.`,
      inTurn([alter(name, "retention.ms=-1,retention.bytes=-1")]),
    ),
  ];
}

const MIB = 1024 ** 2;
/** As the daemon makes its topics. */
export const LARGEST_RECORD = 16 * MIB;
const UNREADABLE = new Set(["lz4", "snappy"]);

/**
 * Settings that lose, refuse or hide records; pure. `unread` says how bad it is when the records can't be read. Codes:
 * TOPIC_UNWRITABLE, TOPIC_MIN_ISR, TOPIC_UNCLEAN, TOPIC_MESSAGE_LIMIT, KAFKA_COMPRESSION_UNSUPPORTED.
 */
export function judgeSettings(
  { name, replicas }: Pick<TopicDescription, "name" | "replicas">,
  settings: Settings,
  alter: Alter,
  unread: typeof warning,
): Finding[] {
  const findings: Finding[] = [];
  const inSync = Number(settings.get("min.insync.replicas") ?? 1);
  if (inSync > replicas) {
    findings.push(
      warning(
        "TOPIC_UNWRITABLE",
        `Topic ${name} has ${replicas} replicas and min.insync.replicas=${inSync}: Kafka takes no event.`,
        inTurn([alter(name, `min.insync.replicas=${Math.max(1, replicas - 1)}`)]),
      ),
    );
  } else if (inSync === 1 && replicas >= 3) {
    findings.push(
      note(
        "TOPIC_MIN_ISR",
        `Topic ${name} has min.insync.replicas=1: an event may be acknowledged that stands on one of its ${replicas} brokers only.`,
        inTurn([alter(name, "min.insync.replicas=2")]),
      ),
    );
  }
  if (settings.get("unclean.leader.election.enable") === "true") {
    findings.push(
      warning(
        "TOPIC_UNCLEAN",
        `Topic ${name} may get a leader that lacks committed events (unclean.leader.election.enable=true): they would be lost.`,
        inTurn([alter(name, "unclean.leader.election.enable=false")]),
      ),
    );
  }
  const limit = Number(settings.get("max.message.bytes") ?? LARGEST_RECORD);
  if (limit < LARGEST_RECORD) {
    findings.push(
      (limit < MIB ? warning : note)(
        "TOPIC_MESSAGE_LIMIT",
        `Topic ${name} takes records of ${limit} bytes at most: the first larger row halts the stream with RECORD_TOO_LARGE.`,
        inTurn([alter(name, `max.message.bytes=${LARGEST_RECORD}`)]),
      ),
    );
  }
  const compression = settings.get("compression.type") ?? "producer";
  if (UNREADABLE.has(compression)) {
    findings.push(
      unread(
        "KAFKA_COMPRESSION_UNSUPPORTED",
        `Topic ${name} has compression.type=${compression}, which afterimage can't read; gzip and zstd it can.`,
        inTurn([alter(name, "compression.type=producer")]),
      ),
    );
  }
  return findings;
}

const forgets = (settings: Settings): boolean =>
  settings.get("retention.ms") !== "-1" || (settings.get("retention.bytes") ?? "-1") !== "-1";
