// A Kafka cluster of one's own on loopback, of which single nodes can be broken. Every node is broker and controller.
import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { format, kafkaClassPath, nodeProperties, randomId, writeProperties } from "./embedded-kafka.ts";
import { KafkaNode } from "./kafka-node.ts";
import { freePort, guard } from "./process.ts";
import { kafkaClient } from "./topics.ts";
import { waitFor } from "./wait-for.ts";

export interface KafkaCluster {
  /** Each on an address of its own; by node id from 1. */
  readonly nodes: readonly KafkaNode[];
  /** `host:port` of each node. */
  readonly brokers: string[];
  /** Ends all nodes and removes their data. */
  remove(): Promise<void>;
}

export interface ClusterOptions {
  readonly nodes: 1 | 3;
  /** Of every node, over those that it has anyway. */
  readonly properties?: Readonly<Record<string, string>>;
  /** Is told, line by line, what is being done. */
  readonly log?: (line: string) => void;
}

/** A loss must be noticed, and a node that comes back let in again, within seconds. */
function clusterProperties(nodes: 1 | 3) {
  const [replicas, inSync] = nodes === 3 ? [3, 2] : [1, 1];
  return {
    "default.replication.factor": replicas,
    "min.insync.replicas": inSync,
    "offsets.topic.replication.factor": replicas,
    "transaction.state.log.replication.factor": replicas,
    "transaction.state.log.min.isr": inSync,
    "transaction.state.log.num.partitions": nodes,
    "share.coordinator.state.topic.replication.factor": replicas,
    "share.coordinator.state.topic.min.isr": inSync,
    "broker.session.timeout.ms": 2000,
    "broker.heartbeat.interval.ms": 300,
    "controlled.shutdown.enable": true,
    "replica.lag.time.max.ms": 4000,
    "replica.socket.timeout.ms": 3000,
    "replica.fetch.backoff.ms": 200,
    "controller.quorum.election.timeout.ms": 500,
    "controller.quorum.fetch.timeout.ms": 1500,
    "controller.quorum.request.timeout.ms": 1500,
    "num.network.threads": 2,
    "num.io.threads": 4,
    "log.flush.offset.checkpoint.interval.ms": 5000,
  };
}

// Code that lives for minutes is not worth the second compiler's time, of which three machines would take a lot.
const JAVA_OPTIONS = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/**
 * One node, or three with `min.insync.replicas=2`. Creates no topics by itself; embedded, whatever the environment
 * names. Resolves when all nodes know of each other.
 */
export async function startKafkaCluster({
  nodes: count,
  properties = {},
  log = () => undefined,
}: ClusterOptions): Promise<KafkaCluster> {
  const classPath = await kafkaClassPath(log);
  const root = await mkdtemp(join(tmpdir(), "afterimage-cluster-"));
  const watch = guard(root, "KILL");
  const planned: { id: number; port: number; controllerPort: number; folder: string; directory: string }[] = [];
  for (let id = 1; id <= count; id++) {
    const [port, controllerPort] = [await freePort(), await freePort()];
    planned.push({ id, port, controllerPort, folder: join(root, String(id)), directory: randomId() });
  }
  const nodes = planned.map(
    ({ id, port, folder }) =>
      new KafkaNode({
        folder,
        data: join(folder, "data"),
        pidFile: join(root, `${id}.pid`),
        classPath,
        port,
        javaOptions: JAVA_OPTIONS,
        removed: async () => undefined,
      }),
  );
  const cluster: KafkaCluster = {
    nodes,
    brokers: nodes.map(({ address }) => address),
    async remove() {
      await Promise.all(nodes.map((node) => node.remove()));
      await watch.release();
    },
  };
  try {
    const controllers = planned.map(({ controllerPort }) => `127.0.0.1:${controllerPort}`);
    const quorum = planned.map(({ id, directory }, index) => `${id}@${controllers[index]}:${directory}`).join(",");
    const clusterId = randomId();
    await Promise.all(
      planned.map(async ({ id, port, controllerPort, folder }, index) => {
        const file = join(folder, "server.properties");
        await mkdir(folder);
        await writeProperties(file, {
          ...nodeProperties(id, port, controllerPort, nodes[index]!.data),
          // Its own disk: records may fill theirs without taking the controller away.
          "metadata.log.dir": join(folder, "metadata"),
          "controller.quorum.bootstrap.servers": controllers.join(","),
          ...clusterProperties(count),
          ...properties,
        });
        await format(classPath, file, clusterId, ["--initial-controllers", quorum]);
      }),
    );
    await Promise.all(nodes.map((node) => node.start()));
    await Promise.all(nodes.map(({ address }) => knowsBrokers(address, count)));
    return cluster;
  } catch (error) {
    await cluster.remove();
    throw error;
  }
}

async function knowsBrokers(address: string, count: number): Promise<void> {
  const admin = kafkaClient([address]).admin();
  await admin.connect();
  try {
    await waitFor(async () => (await admin.describeCluster()).brokers.length === count, {
      what: `${count} brokers to be known at ${address}`,
      timeout: 60_000,
    });
  } finally {
    await admin.disconnect();
  }
}
