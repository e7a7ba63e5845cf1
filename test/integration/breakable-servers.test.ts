// Servers made to be broken: every Postgres version, frozen and thawed, and a Kafka cluster that outlives its nodes.
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type KafkaCluster, startKafkaCluster } from "../../dev/servers/kafka-cluster.ts";
import { startPostgres } from "../../dev/servers/servers.ts";
import { kafkaClient, readTopic } from "../support/topics.ts";
import { waitFor } from "../support/wait-for.ts";

async function ask(url: string, text: string, timeout = 30_000): Promise<unknown> {
  const client = new pg.Client({ connectionString: url, query_timeout: timeout, connectionTimeoutMillis: timeout });
  client.on("error", () => undefined); // what is asked then rejects
  await client.connect();
  try {
    return (await client.query({ text, rowMode: "array" })).rows[0]?.[0];
  } finally {
    client.end().catch(() => undefined); // a frozen server never says goodbye
  }
}

test.each([15, 16, 17, 18] as const)(
  "Postgres %i runs with the settings asked for, in the folder asked for, and can be frozen",
  async (version) => {
    const folder = await mkdtemp(join(tmpdir(), "afterimage-servers-"));
    await chmod(folder, 0o755); // Postgres runs as another user when root starts it
    const server = await startPostgres({ version, folder, settings: { wal_sender_timeout: "3s" } });
    try {
      const url = server.address;
      expect(await ask(url, "SHOW server_version_num")).toMatch(new RegExp(`^${version}`));
      expect(await ask(url, "SHOW wal_sender_timeout")).toBe("3s");
      expect(await ask(url, "SHOW wal_level")).toBe("logical");
      expect(await readdir(folder)).toHaveLength(1);
      const client = new pg.Client({ connectionString: url });
      client.on("error", () => undefined); // the server is killed below
      await client.connect();
      server.freeze();
      let answers = 0;
      const answered = client.query("SELECT").then(() => answers++);
      await expect(ask(url, "SELECT", 500)).rejects.toThrow(/timeout/); // the postmaster stands still,
      expect(answers).toBe(0); // and so does what was there already
      server.thaw();
      await answered;
      server.freeze();
      await server.kill();
      await server.start();
      expect(await ask(url, "SELECT 1")).toBe(1);
    } finally {
      await server.remove();
      expect(await readdir(folder)).toEqual([]);
      await rm(folder, { recursive: true });
    }
  },
);

describe("a cluster of three", () => {
  let cluster: KafkaCluster;
  beforeAll(async () => {
    cluster = await startKafkaCluster({ nodes: 3 });
  });
  afterAll(() => cluster?.remove());

  const partitionsOf = async (topic: string, brokers = cluster.brokers) => {
    const admin = kafkaClient(brokers).admin();
    await admin.connect();
    try {
      return (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0]!.partitions;
    } finally {
      await admin.disconnect();
    }
  };
  /** A broker learns of a new topic a moment after the one that was asked to make it. */
  const known = (topic: string) =>
    Promise.all(
      cluster.brokers.map((broker) =>
        waitFor(
          () =>
            partitionsOf(topic, [broker]).then(
              (partitions) => partitions.every(({ leader, isr }) => leader > 0 && isr.length === 3),
              ({ type, cause }) => {
                if ((type ?? cause?.type) !== "UNKNOWN_TOPIC_OR_PARTITION") throw cause ?? new Error(type);
                return false;
              },
            ),
          { what: `${topic} to be known at ${broker}` },
        ),
      ),
    );
  const whole = (topic: string) =>
    waitFor(async () => (await partitionsOf(topic)).every(({ isr }) => isr.length === 3), {
      what: "all replicas to be in sync",
    });

  test("gives each topic three replicas, and leaders move when one is killed", async () => {
    const kafka = kafkaClient(cluster.brokers);
    const [admin, producer] = [kafka.admin(), kafka.producer()];
    await Promise.all([admin.connect(), producer.connect()]);
    try {
      await admin.createTopics({ topics: [{ topic: "moves", numPartitions: 1 }], waitForLeaders: false });
      await known("moves");
      await producer.send({ topic: "moves", acks: -1, messages: [{ value: "before" }] });
      const [{ leader, replicas } = { leader: 0, replicas: [] }] = await partitionsOf("moves");
      expect(replicas.toSorted()).toEqual([1, 2, 3]);
      await cluster.nodes[leader - 1]!.kill();
      await waitFor(async () => ![leader, -1].includes((await partitionsOf("moves"))[0]!.leader), {
        what: "another leader",
      });
      await producer.send({ topic: "moves", acks: -1, messages: [{ value: "after" }] });
      await cluster.nodes[leader - 1]!.start();
      await whole("moves");
      expect((await readTopic(cluster.brokers, "moves")).map(({ value }) => value)).toEqual(["before", "after"]);
    } finally {
      await Promise.all([admin.disconnect(), producer.disconnect()]);
    }
  });

  test("takes no record while two are gone, notices one that is frozen, and holds all when every node was killed", async () => {
    const producer = kafkaClient(cluster.brokers).producer({ retry: { retries: 0 } });
    await producer.connect();
    const send = (value: string) => producer.send({ topic: "moves", acks: -1, timeout: 2000, messages: [{ value }] });
    const sent = (value: string) =>
      waitFor(
        () =>
          send(value).then(
            () => true,
            () => false, // kafkajs asks for metadata before the next try
          ),
        { what: value },
      );
    try {
      await cluster.nodes[2]!.kill();
      await waitFor(async () => (await partitionsOf("moves"))[0]!.isr.length === 2, { what: "the loss" });
      await cluster.nodes[1]!.stop("fast"); // as long as two controllers run, it can leave the in-sync replicas
      const refused = () => send("refused").catch(({ cause }) => cause?.type);
      await waitFor(async () => (await refused()) === "NOT_ENOUGH_REPLICAS", { what: "NOT_ENOUGH_REPLICAS" });
      await Promise.all([cluster.nodes[1]!.start(), cluster.nodes[2]!.start()]);
      await whole("moves");

      const { leader } = (await partitionsOf("moves"))[0]!;
      cluster.nodes[leader - 1]!.freeze();
      const others = kafkaClient(cluster.brokers.toSpliced(leader - 1, 1)).admin();
      await others.connect();
      const leaderNow = async () =>
        (await others.fetchTopicMetadata({ topics: ["moves"] })).topics[0]!.partitions[0]!.leader;
      await waitFor(async () => ![leader, -1].includes(await leaderNow().catch(() => -1)), { what: "another leader" });
      await others.disconnect();
      cluster.nodes[leader - 1]!.thaw();
      await sent("thawed");

      await Promise.all(cluster.nodes.map((node) => node.kill()));
      await Promise.all(cluster.nodes.map((node) => node.start()));
      await whole("moves");
      await sent("last");
      const values = (await readTopic(cluster.brokers, "moves")).map(({ value }) => value);
      expect([...new Set(values)]).toEqual(["before", "after", "thawed", "last"]);
    } finally {
      await producer.disconnect();
    }
  });
});
