// Brokers that are killed under a stream until too few are left, and a broker whose disk is full: the daemon waits with
// bounded memory and goes on by itself, exactly once.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, inject, test } from "vitest";
import { type KafkaCluster, startKafkaCluster } from "../../dev/servers/kafka-cluster.ts";
import { listens } from "../../dev/servers/process.ts";
import { parseLsn } from "../../src/event/lsn.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { kafkaClient, listTopics, makeTopics } from "../support/topics.ts";
import { waitFor } from "../support/wait-for.ts";

let cluster: KafkaCluster;
let stream: CapturedStream;
afterEach(async () => {
  await stream?.drop();
  await cluster?.remove();
});

async function begin(nodes: 1 | 3): Promise<void> {
  cluster = await startKafkaCluster({ nodes });
  const servers = { postgresUrl: inject("postgresUrl"), brokers: cluster.brokers };
  stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY, note text)", {}, servers);
}

const insert = (from: number, to: number) =>
  stream.sql(
    `INSERT INTO t SELECT g, string_agg(md5(g::text || n), '') FROM generate_series(${from}, ${to}) g, generate_series(1, 30) n GROUP BY g ORDER BY g`,
  );

async function expectEachOnce(count: number): Promise<void> {
  const numbers = Array.from({ length: count }, (_, at) => at + 1);
  expect((await stream.events()).map(({ key }) => key?.id)).toEqual(numbers);
  expect((await stream.stored()).map(({ event }) => event.sequence)).toEqual(numbers);
}

/** Waits until all that is committed now is confirmed; Kafka itself can't be asked while a broker is away. */
async function confirmed(): Promise<void> {
  const { rows } = await stream.sql("SELECT pg_current_wal_lsn()::text AS lsn");
  const written = parseLsn(String(rows[0]!.lsn));
  await waitFor(async () => (await stream.confirmedFlushLsn()) >= written, {
    what: "all to be confirmed",
  });
}

/** Place in `cluster.nodes` of the leader of a partition of the table's topic. */
async function leader(partition: number): Promise<number> {
  const admin = kafkaClient(cluster.brokers).admin();
  await admin.connect();
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [`${stream.stream}.public.t`] });
    return topics[0]!.partitions.find(({ partitionId }) => partitionId === partition)!.leader - 1;
  } finally {
    await admin.disconnect();
  }
}

/** A broker that was just started learns a moment later who leads what; whoever asks it meanwhile hears of no leader. */
async function led(): Promise<void> {
  const topics = await listTopics(cluster.brokers, `${stream.stream}.`);
  await Promise.all(
    cluster.brokers.map(async (broker) => {
      const admin = kafkaClient([broker]).admin();
      await admin.connect();
      try {
        await waitFor(
          () =>
            admin.fetchTopicMetadata({ topics }).then(
              (metadata) => metadata.topics.every(({ partitions }) => partitions.every(({ leader }) => leader > 0)),
              (error) => {
                if (error.retriable !== true) throw error;
                return false;
              },
            ),
          { what: `leaders, as ${broker} knows them` },
        );
      } finally {
        await admin.disconnect();
      }
    }),
  );
}

test("leaders are killed one after the other, also until only one broker of three is left", async () => {
  await begin(3);
  let last = 0;
  const write = async (rows: number) => {
    await insert(last + 1, last + rows);
    last += rows;
  };
  await write(100);
  await stream.published();
  for (const partition of [0, 1]) {
    const node = cluster.nodes[await leader(partition)]!;
    const writing = write(2000);
    await node.kill();
    await writing;
    await confirmed(); // on the two that are left
    await node.start();
    await led();
  }
  const [first, second] = cluster.nodes;
  await Promise.all([first!.kill(), second!.kill()]);
  const { rows: before } = await stream.sql("SELECT pg_current_wal_insert_lsn()::text AS lsn");
  await write(200);
  const { rows } = await stream.sql("SELECT pg_current_wal_lsn()::text AS lsn");
  const sent = "SELECT FROM pg_stat_replication WHERE application_name = $1 AND sent_lsn >= $2 AND reply_time > $3";
  const read = [`afterimage ${stream.stream} replication`, rows[0]!.lsn, new Date()];
  await waitFor(async () => (await stream.sql(sent, read)).rows.length === 1, { what: "the rows to be read" });
  // Nothing can be committed in Kafka now, so none of it may be confirmed.
  expect(await stream.confirmedFlushLsn()).toBeLessThanOrEqual(parseLsn(String(before[0]!.lsn)));
  await Promise.all([first!.start(), second!.start()]);
  await led();
  await expectEachOnce(last);

  // A topic that is only called like the stream's has lost its only broker: it is not waited for.
  const theirs = { topic: `${stream.stream}.theirs`, replicaAssignment: [{ partition: 0, replicas: [3] }] };
  await makeTopics(cluster.brokers, [theirs]);
  await stream.daemon.kill();
  await cluster.nodes[2]!.kill();
  await stream.start({ AFTERIMAGE_KAFKA_BROKERS: cluster.brokers.slice(0, 2).join(",") });
  await write(100);
  await confirmed();
  await cluster.nodes[2]!.start();
  await led();
});

test("the broker's disk is full: the daemon holds two batches and waits, and catches up when there is room", async () => {
  await begin(1);
  await insert(1, 100);
  await stream.published();
  const node = cluster.nodes[0]!;
  await node.fill(3 * 1024 * 1024);
  await insert(101, 30_000); // 30 MB, in four partitions
  const port = Number(node.address.split(":")[1]);
  await waitFor(async () => !(await listens(port)), { what: "the broker to end for want of room" });
  const unread = "SELECT FROM pg_stat_replication WHERE application_name = $1 AND sent_lsn < pg_current_wal_lsn()";
  const over = performance.now() + 5_000;
  while (performance.now() < over) {
    expect((await stream.sql(unread, [`afterimage ${stream.stream} replication`])).rows).toHaveLength(1);
    await sleep(200);
  }
  await node.kill();
  await node.start();
  await expectEachOnce(30_000);
  const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${stream.daemon.pid}/status`, "utf8"))!;
  expect(Number(peak[1])).toBeLessThan(300 * 1024);
});
