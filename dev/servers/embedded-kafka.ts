// Kafka in KRaft mode, one node, straight from its jars: resolved by Maven once, kept in the cache folder.
import { randomBytes } from "node:crypto";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AfterimageError, messageOf } from "../../src/errors.ts";
import { cached } from "./cache.ts";
import { KafkaNode } from "./kafka-node.ts";
import { codeOf, freePort, guard, run } from "./process.ts";
import type { FreezableServer } from "./server-control.ts";

export const KAFKA_VERSION = "4.3.1";

const ADVICE =
  "Install Java 17 or newer and Maven (Debian: `apt-get install default-jre-headless maven`), or start Docker, " +
  "or name brokers in AFTERIMAGE_TEST_KAFKA_BROKERS.";

async function requireJava(): Promise<void> {
  let output: string;
  try {
    output = await run("java", ["-version"]);
  } catch (cause) {
    throw new AfterimageError("JAVA_NOT_FOUND", "Kafka needs Docker or Java, and neither is here.", ADVICE, { cause });
  }
  const major = Number(/version "(\d+)/.exec(output)?.[1] ?? 0);
  if (major < 17) {
    throw new AfterimageError("JAVA_TOO_OLD", `Kafka ${KAFKA_VERSION} needs Java 17; here is ${major}.`, ADVICE);
  }
}

/** The class path of a broker. Throws AfterimageError when Java or Maven are missing. */
export async function kafkaClassPath(log: (line: string) => void): Promise<string> {
  await requireJava();
  const folder = await cached(`kafka-${KAFKA_VERSION}`, async (staging) => {
    log(`servers: fetching Kafka ${KAFKA_VERSION} by Maven (once, about 55 MB)`);
    const pom = fileURLToPath(new URL("kafka/pom.xml", import.meta.url));
    const plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
    try {
      await run("mvn", ["-q", "-B", "-f", pom, plugin, `-DoutputDirectory=${staging}`]);
    } catch (cause) {
      throw codeOf(cause) === "ENOENT"
        ? new AfterimageError("MAVEN_NOT_FOUND", "Kafka's jars are fetched by Maven, and `mvn` is not here.", ADVICE)
        : new AfterimageError("KAFKA_NOT_FETCHED", `Maven could not fetch Kafka: ${messageOf(cause)}`, ADVICE, {
            cause,
          });
    }
  });
  return join(folder, "*");
}

/** As `server.properties` has them. */
export function writeProperties(
  file: string,
  properties: Readonly<Record<string, string | number | boolean>>,
): Promise<void> {
  const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}\n`);
  return writeFile(file, lines.join(""));
}

/** Settings that hold for every node, alone or not. */
export function nodeProperties(nodeId: number, port: number, controllerPort: number, data: string) {
  return {
    "process.roles": "broker,controller",
    "node.id": nodeId,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    "advertised.listeners": `PLAINTEXT://127.0.0.1:${port}`,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "log.dirs": data,
    "auto.create.topics.enable": false,
    "offsets.topic.num.partitions": 1,
    "group.initial.rebalance.delay.ms": 0,
    "log.cleaner.dedupe.buffer.size": 16_777_216,
  };
}

const ALONE = {
  "offsets.topic.replication.factor": 1,
  "transaction.state.log.replication.factor": 1,
  "transaction.state.log.min.isr": 1,
  "transaction.state.log.num.partitions": 1,
  "share.coordinator.state.topic.replication.factor": 1,
  "share.coordinator.state.topic.min.isr": 1,
  "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000, // how soon a time-out shows
  "broker.session.timeout.ms": 4000, // a killed broker is let in again after that
  "broker.heartbeat.interval.ms": 500,
};

/** Kafka's ids are 16 bytes in base64url; one that starts with `-` would read as an option. */
export function randomId(): string {
  for (;;) {
    const id = randomBytes(16).toString("base64url");
    if (!id.startsWith("-")) return id;
  }
}

/** Writes a node's `meta.properties` and first metadata; `quorum`: the option that says who the first controllers are. */
export async function format(classPath: string, file: string, cluster: string, quorum: string[]): Promise<void> {
  // biome-ignore format: one option a line says less than the command line
  await run("java", ["-XX:TieredStopAtLevel=1", "-cp", classPath, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", file, ...quorum]);
}

/** Starts a new one-node cluster that creates no topics by itself. */
export async function startEmbeddedKafka(log: (line: string) => void): Promise<FreezableServer> {
  const classPath = await kafkaClassPath(log);
  const folder = await mkdtemp(join(tmpdir(), "afterimage-kafka-"));
  const [port, controllerPort] = [await freePort(), await freePort()];
  const watch = guard(folder, "KILL");
  const data = join(folder, "data");
  const server = new KafkaNode({
    folder,
    data,
    pidFile: join(folder, "server.pid"),
    classPath,
    port,
    javaOptions: ["-Xms256m", "-Xmx768m", "-XX:+UseSerialGC"],
    removed: () => watch.release(),
  });
  try {
    const file = join(folder, "server.properties");
    await writeProperties(file, {
      ...nodeProperties(1, port, controllerPort, data),
      "controller.quorum.bootstrap.servers": `127.0.0.1:${controllerPort}`,
      ...ALONE,
    });
    await format(classPath, file, randomId(), ["--standalone"]);
    await server.start();
    return server;
  } catch (error) {
    await server.remove();
    throw error;
  }
}
