// Command lines of Kafka's shell scripts: run by the scripts' own programs, or, since each of these takes a Java machine
// seconds to start, by the same requests that these send.
import kafkajs from "kafkajs";
import { kafkaClassPath } from "../../dev/servers/embedded-kafka.ts";
import { run } from "../../dev/servers/process.ts";
import { KafkaConnection } from "../../src/kafka/connection.ts";
import type { KafkaRequest } from "../../src/kafka/protocol/request.ts";
import { kafkaClient } from "./topics.ts";

// Node doesn't see these among the names that the package exports.
const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs;

const MAIN: Readonly<Record<string, string>> = {
  "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
  "kafka-configs.sh": "kafka.admin.ConfigCommand",
};

const wordsOf = (command: string): string[] =>
  (command.match(/(?:'[^']*'|[^\s'])+/g) ?? []).map((word) => word.replaceAll("'", ""));

/** Runs the command as its script does: the same main class on the same class path. Rejects when it fails. */
export async function runKafkaTool(command: string): Promise<void> {
  const [script = "", ...words] = wordsOf(command);
  const main = MAIN[script];
  if (main === undefined) throw new Error(`Not one of Kafka's scripts that are known here: ${command}`);
  const classPath = await kafkaClassPath(() => undefined);
  await run("java", ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-cp", classPath, main, ...words]);
}

/** Does what the command does, without a Java machine. Throws on what it does not know. */
export async function doAsKafkaTool(command: string): Promise<void> {
  const [script, ...words] = wordsOf(command);
  const given = new Map<string, string[]>();
  for (let at = 0; at < words.length; at++) {
    const name = words[at]!;
    const value = words[at + 1]?.startsWith("--") === false ? words[++at]! : "";
    given.set(name, [...(given.get(name) ?? []), value]);
  }
  const take = (name: string) => {
    const values = given.get(name) ?? [];
    given.delete(name);
    return values;
  };
  const brokers = take("--bootstrap-server")[0]!.split(",");
  if (script === "kafka-configs.sh" && take("--alter").length === 1 && take("--entity-type")[0] === "topics") {
    const connection = await KafkaConnection.connect({ brokers, clientId: "afterimage-test" });
    const settings = take("--add-config")[0]!
      .split(",")
      .map((each) => each.split("=") as [string, string]);
    const error = await connection.sendToAny(alterTopic(take("--entity-name")[0]!, settings));
    await connection.close();
    if (error !== 0) throw new Error(`Kafka answers error ${error} to: ${command}`);
  } else if (script === "kafka-acls.sh" && take("--add").length === 1) {
    const prefixed = take("--resource-pattern-type")[0] === "prefixed";
    const [resourceType, resourceName] = resource(take);
    const [principal] = take("--allow-principal");
    const acl = take("--operation").map((operation) => ({
      resourceType,
      resourceName,
      resourcePatternType: prefixed ? ResourcePatternTypes.PREFIXED : ResourcePatternTypes.LITERAL,
      principal: principal!,
      host: "*",
      operation: OPERATIONS[operation]!,
      permissionType: AclPermissionTypes.ALLOW,
    }));
    const admin = kafkaClient(brokers).admin();
    await admin.connect();
    await admin.createAcls({ acl });
    await admin.disconnect();
  } else {
    throw new Error(`Not known here: ${command}`);
  }
  if (given.size > 0) throw new Error(`Not known here: ${[...given.keys()]} of ${command}`);
}

function resource(take: (name: string) => string[]): [type: number, name: string] {
  const [topic] = take("--topic");
  if (topic !== undefined) return [AclResourceTypes.TOPIC, topic];
  const [transactionalId] = take("--transactional-id");
  if (transactionalId !== undefined) return [AclResourceTypes.TRANSACTIONAL_ID, transactionalId];
  if (take("--cluster").length === 1) return [AclResourceTypes.CLUSTER, "kafka-cluster"];
  throw new Error("The command names no resource.");
}

const OPERATIONS: Readonly<Record<string, number>> = {
  All: AclOperationTypes.ALL,
  Read: AclOperationTypes.READ,
  Write: AclOperationTypes.WRITE,
  Create: AclOperationTypes.CREATE,
  Alter: AclOperationTypes.ALTER,
  Describe: AclOperationTypes.DESCRIBE,
  ClusterAction: AclOperationTypes.CLUSTER_ACTION,
  DescribeConfigs: AclOperationTypes.DESCRIBE_CONFIGS,
  AlterConfigs: AclOperationTypes.ALTER_CONFIGS,
};

const TOPIC_RESOURCE = 2;
const SET = 0;

/** IncrementalAlterConfigs, version 0. https://kafka.apache.org/protocol.html#The_Messages_IncrementalAlterConfigs */
function alterTopic(topic: string, settings: [name: string, value: string][]): KafkaRequest<number> {
  return {
    apiKey: 44,
    name: "IncrementalAlterConfigs",
    version: 0,
    flexible: false,
    write(writer) {
      writer.array([topic], (name) => {
        writer.int8(TOPIC_RESOURCE);
        writer.string(name);
        writer.array(settings, ([key, value]) => {
          writer.string(key);
          writer.int8(SET);
          writer.string(value);
        });
      });
      writer.boolean(false); // validate only
    },
    read(reader) {
      reader.int32(); // throttle time
      const errors = reader.array(() => {
        const error = reader.int16();
        reader.string(); // error message
        reader.int8(); // resource type
        reader.string(); // resource name
        return error;
      });
      return errors[0] ?? 0;
    },
  };
}
