// Broken set-ups of Kafka: each is named by its code, its remedy is done as it is printed, and then the finding is gone.
// One command of each kind is run by Kafka's own tool, the others by the same requests. On a broker of its own that looks at rights: who may what is the whole server's.
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type KafkaCluster, startKafkaCluster } from "../../dev/servers/kafka-cluster.ts";
import { loadConfig } from "../../src/config/config.ts";
import { type Finding, runDoctor } from "../../src/daemon/doctor.ts";
import { KafkaConnection } from "../../src/kafka/connection.ts";
import { createTopic } from "../../src/kafka/topics.ts";
import { createDatabase, type TestDatabase, uniqueStream } from "../support/database.ts";
import { doAsKafkaTool, runKafkaTool } from "../support/kafka-tools.ts";
import { waitFor } from "../support/wait-for.ts";

let cluster: KafkaCluster;
let database: TestDatabase;
beforeAll(async () => {
  const properties = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    // Whatever has an ACL is closed for all others.
    "allow.everyone.if.no.acl.found": "true",
  };
  [cluster, database] = await Promise.all([startKafkaCluster({ nodes: 1, properties }), createDatabase()]);
});
afterAll(async () => {
  await cluster?.remove();
  await database?.drop();
});

let stream = "";
beforeEach(() => {
  stream = uniqueStream();
});

async function check(): Promise<Finding[]> {
  const flags = {
    stream,
    "postgres.url": database.url,
    "kafka.brokers": cluster.brokers.join(","),
    "startup.wait": "0ms",
  };
  return runDoctor(loadConfig({ env: {}, flags }));
}

const named = (findings: readonly Finding[], code: string) =>
  findings.filter((finding) => finding.code === code && finding.severity !== "ok");

/** The remedy, which is a single command line. */
function commandOf({ steps, remedy }: Finding): string {
  expect(steps).toEqual([{ kind: "shell", text: expect.any(String) }]);
  expect(remedy).toContain(steps[0]!.text);
  return steps[0]!.text;
}

/** A broker learns of new settings and rights a moment after they are answered for. */
const untilGone = (codes: readonly string[]) =>
  waitFor(
    async () => {
      const findings = await check();
      return codes.every((code) => named(findings, code).length === 0) ? findings : null;
    },
    { what: `${codes} to be gone` },
  );

const WHOLE = { "retention.ms": "-1", "max.message.bytes": "16777216" };

/** By topic: what is wrong with it, and by which code that is found. */
const BROKEN: Record<string, { code: string; severity: string; configs: Record<string, string> }> = {
  "public.compacted": {
    code: "TOPIC_COMPACTED",
    severity: "warning",
    configs: { ...WHOLE, "cleanup.policy": "compact" },
  },
  "public.forgetful": {
    code: "TOPIC_RETENTION",
    severity: "warning",
    configs: { ...WHOLE, "retention.ms": "1000000" },
  },
  "public.unwritable": {
    code: "TOPIC_UNWRITABLE",
    severity: "warning",
    configs: { ...WHOLE, "min.insync.replicas": "2" },
  },
  "public.unclean": {
    code: "TOPIC_UNCLEAN",
    severity: "warning",
    configs: { ...WHOLE, "unclean.leader.election.enable": "true" },
  },
  "public.narrow": {
    code: "TOPIC_MESSAGE_LIMIT",
    severity: "warning",
    configs: { ...WHOLE, "max.message.bytes": "1000" },
  },
  progress: { code: "PROGRESS_POLICY", severity: "error", configs: { ...WHOLE, "cleanup.policy": "compact,delete" } },
  schemas: { code: "SCHEMAS_POLICY", severity: "error", configs: { "max.message.bytes": "16777216" } },
  "public.unreadable": {
    code: "KAFKA_COMPRESSION_UNSUPPORTED",
    severity: "warning",
    configs: { ...WHOLE, "compression.type": "snappy" },
  },
};

test("topics: each broken one is named, and its remedy mends it", async () => {
  const connection = await KafkaConnection.connect({ brokers: cluster.brokers, clientId: "afterimage-test" });
  for (const [topic, { configs }] of Object.entries(BROKEN)) {
    const table = topic.split(".")[1];
    if (table !== undefined) await database.client.query(`CREATE TABLE ${table} (id int PRIMARY KEY)`);
    const partitions = table === undefined ? 1 : 4;
    await createTopic(connection, { name: `${stream}.${topic}`, partitions, replicationFactor: 1, configs });
  }
  await connection.close();
  const before = await check();
  const wanted = Object.entries(BROKEN).map(([topic, { code, severity }]) => {
    const found = named(before, code);
    expect(found).toEqual([expect.objectContaining({ severity })]);
    expect(found[0]!.what).toContain(`${stream}.${topic}`);
    return found[0]!;
  });
  const [first, ...others] = wanted;
  await runKafkaTool(commandOf(first!));
  for (const finding of others) await doAsKafkaTool(commandOf(finding));
  const after = await untilGone(wanted.map(({ code }) => code));
  expect(after.filter(({ severity }) => severity === "error" || severity === "warning")).toEqual([]);
});

test("rights: what the client lacks is named, and the ACL of the remedy grants it; nothing is made by looking", async () => {
  const acl = (what: string) => doAsKafkaTool(`kafka-acls.sh --bootstrap-server ${cluster.brokers[0]} --add ${what}`);
  const nobody = "--allow-principal User:nobody --operation All";
  // All rights on the cluster but to make topics.
  const kept = ["ClusterAction", "Alter", "AlterConfigs", "Describe", "DescribeConfigs"];
  await acl(`--allow-principal User:ANONYMOUS ${kept.map((each) => `--operation ${each}`).join(" ")} --cluster`);
  await acl(`${nobody} --transactional-id afterimage.${stream}`);
  await acl(`${nobody} --topic ${stream}. --resource-pattern-type prefixed`);

  const on = (what: string) =>
    waitFor(
      async () => named(await check(), "KAFKA_NOT_AUTHORIZED").find((finding) => finding.what.includes(what)) ?? null,
      { what: `a right on ${what} to be missed` },
    );
  const transactions = await on(`transactional id afterimage.${stream}`);
  expect(transactions).toMatchObject({ severity: "error", what: expect.stringContaining("lacks Write on ") });
  await doAsKafkaTool(commandOf(transactions));
  const topics = await on(`topics ${stream}.*`);
  expect(topics.what).toContain("lacks Create, Describe, DescribeConfigs, Read, Write on ");
  await runKafkaTool(commandOf(topics));
  await untilGone(["KAFKA_NOT_AUTHORIZED"]);

  const connection = await KafkaConnection.connect({ brokers: cluster.brokers, clientId: "afterimage-test" });
  const { topics: made } = await connection.metadata(null);
  await connection.close();
  expect(made.map(({ name }) => name).filter((name) => name.startsWith(stream) || name.startsWith("__"))).toEqual([]);
});
