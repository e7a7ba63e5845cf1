// What the client's Kafka principal may do, and the ACL that grants what it lacks.
// https://kafka.apache.org/documentation/#security_authz
import type { Config } from "../config/config.ts";
import { transactionalIdOf } from "../event/identifier.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { nameOfError } from "../kafka/protocol/error-code.ts";
import { mayWriteTransactions, type TopicRights, topicRights } from "../kafka/rights.ts";
import { newEventTopic, ownTopics } from "../sink/topics.ts";
import { type Finding, inTurn, ok, problem, type Remedy, remedy, shell } from "../source/finding.ts";
import { brokersOf, eventTopicsOf, type TableName } from "./preflight-topics.ts";

type Checked = Pick<Config, "stream" | "topics" | "kafka" | "messages">;

/** Codes: KAFKA_NOT_AUTHORIZED, TOPIC_REFUSED. Changes nothing, and fences nobody. Throws NoReply. */
export async function checkRights(
  connection: KafkaConnection,
  config: Checked,
  tables: readonly TableName[],
): Promise<Finding[]> {
  const { partitions, replicationFactor } = config.kafka;
  const transactionalId = transactionalIdOf(config.stream);
  if (!(await mayWriteTransactions(connection, transactionalId))) {
    // What the broker says of topics is worth nothing before it is granted.
    return [lacks(config, `transactional id ${transactionalId}`, ["Write"], `--transactional-id ${transactionalId}`)];
  }
  const names = [...new Set(eventTopicsOf(config, tables))].filter((name) => name.length <= 249);
  const wanted = [
    ...ownTopics(config.stream, replicationFactor),
    ...names.map((name) => newEventTopic(name, partitions, replicationFactor)),
  ];
  const rights = await topicRights(connection, transactionalId, wanted);
  const findings = [...judgeMissing(config, rights), ...judgeRefused(rights)];
  return findings.length > 0 ? findings : [ok("KAFKA_NOT_AUTHORIZED", "the client may write the stream's topics")];
}

/** Topics under the stream's prefix are granted by the prefix, so that tables that come later are in it. */
function judgeMissing(config: Checked, rights: readonly TopicRights[]): Finding[] {
  const prefix = `${config.stream}.`;
  const lacking = rights.filter(({ missing }) => missing.length > 0);
  const groups = Map.groupBy(lacking, ({ name }) => (name.startsWith(prefix) ? prefix : name));
  return [...groups].map(([name, some]) => {
    const missing = [...new Set(some.flatMap((each) => each.missing))].sort();
    const which = some.map((each) => each.name).slice(0, 3);
    return name === prefix
      ? lacks(
          config,
          `topics ${name}* (${which.join(", ")})`,
          missing,
          `--topic ${name} --resource-pattern-type prefixed`,
        )
      : lacks(config, `topic ${name}`, missing, `--topic ${name}`);
  });
}

function lacks(config: Checked, on: string, rights: readonly string[], resource: string): Finding {
  const operations = rights.map((right) => `--operation ${right}`).join(" ");
  const command = (principal: string) =>
    `kafka-acls.sh --bootstrap-server ${brokersOf(config)} --add --allow-principal ${principal} ${operations} ${resource}`;
  const { sasl, ssl } = config.kafka;
  const byCertificate = sasl === undefined && typeof ssl === "object" && ssl.cert !== undefined;
  const how: Remedy = byCertificate
    ? {
        text: `With the subject of the client's certificate in place of PRINCIPAL: ${command("User:PRINCIPAL")}`,
        steps: [],
      }
    : inTurn([shell(command(quoted(`User:${sasl?.username ?? "ANONYMOUS"}`)))]);
  return problem(
    "KAFKA_NOT_AUTHORIZED",
    `The client lacks ${rights.join(", ")} on ${on}.`,
    remedy`Let an administrator of Kafka run (with --command-config FILE where brokers ask for a login): ${how}`,
  );
}

const quoted = (text: string): string => (/^[\w:.@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

function judgeRefused(rights: readonly TopicRights[]): Finding[] {
  return rights.flatMap(({ name, refused }) => {
    if (refused === null) return [];
    const why = refused.message ?? nameOfError(refused.error);
    return [
      problem(
        "TOPIC_REFUSED",
        `Kafka would not make topic ${name}: ${why}`,
        "Correct kafka.replicationFactor or kafka.partitions, or make the topic by hand as the broker's rules demand; one that exists is used as it is.",
      ),
    ];
  });
}
