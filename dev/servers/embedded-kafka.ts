// Kafka in KRaft mode, one node, straight from its jars: resolved by Maven once, kept in the cache folder.
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { AfterimageError, messageOf } from "../../src/errors.ts";
import { cached } from "./cache.ts";
import { codeOf, end, freePort, guard, hasEnded, listens, run } from "./process.ts";
import type { StartedServer, StopMode } from "./server-control.ts";

export const KAFKA_VERSION = "4.3.1";

const ADVICE =
  "Install Java 17 or newer and Maven (Debian: `apt-get install openjdk-17-jre-headless maven`), or start Docker, " +
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

/** The class path of a broker. */
async function jars(log: (line: string) => void): Promise<string> {
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

function properties(port: number, controllerPort: number, folder: string): string {
  return Object.entries({
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.quorum.bootstrap.servers": `127.0.0.1:${controllerPort}`,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    "advertised.listeners": `PLAINTEXT://127.0.0.1:${port}`,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "log.dirs": join(folder, "data"),
    "auto.create.topics.enable": false,
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    "broker.session.timeout.ms": 4000, // a killed broker is let in again after that
    "broker.heartbeat.interval.ms": 500,
    "log.cleaner.dedupe.buffer.size": 16_777_216,
  })
    .map(([name, value]) => `${name}=${value}\n`)
    .join("");
}

/** Kafka's ids are 16 bytes in base64url; one that starts with `-` would read as an option. */
function clusterId(): string {
  for (;;) {
    const id = randomBytes(16).toString("base64url");
    if (!id.startsWith("-")) return id;
  }
}

class EmbeddedKafka implements StartedServer {
  readonly address: string;
  #child: ChildProcess | undefined;
  readonly #folder: string;
  readonly #classPath: string;
  readonly #port: number;
  readonly #guard: { release(): Promise<void> };

  constructor(folder: string, classPath: string, port: number) {
    this.address = `127.0.0.1:${port}`;
    this.#folder = folder;
    this.#classPath = classPath;
    this.#port = port;
    this.#guard = guard(folder, "KILL");
  }

  async start(): Promise<void> {
    if (this.#child && !hasEnded(this.#child)) return;
    const log = await open(join(this.#folder, "log"), "a");
    try {
      this.#child = spawn(
        "java",
        // biome-ignore format: one option a line says less than the command line
        ["-Xms256m", "-Xmx768m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
         "-cp", this.#classPath, "kafka.Kafka", join(this.#folder, "server.properties")],
        { cwd: this.#folder, detached: true, stdio: ["ignore", log.fd, log.fd] },
      );
    } finally {
      await log.close();
    }
    const child = this.#child;
    child.unref();
    await writeFile(join(this.#folder, "server.pid"), String(child.pid ?? ""));
    const deadline = Date.now() + 60_000;
    while (!(await listens(this.#port))) {
      if (hasEnded(child) || Date.now() > deadline) {
        const output = await readFile(join(this.#folder, "log"), "utf8");
        throw new AfterimageError(
          "KAFKA_NOT_STARTED",
          `The embedded Kafka ${hasEnded(child) ? "ended" : "did not answer within 60 s"}: ${output.trim().slice(-1000)}`,
          "Look at free memory, disk and ports, or name brokers in AFTERIMAGE_TEST_KAFKA_BROKERS.",
        );
      }
      await sleep(50);
    }
  }

  async stop(mode: StopMode = "fast"): Promise<void> {
    if (this.#child) await end(this.#child, mode === "fast" ? "SIGTERM" : "SIGKILL", 30_000);
  }

  kill(): Promise<void> {
    return this.stop("immediate");
  }

  async restart({ mode = "fast" }: { mode?: StopMode } = {}): Promise<void> {
    await this.stop(mode);
    await this.start();
  }

  async remove(): Promise<void> {
    await this.kill();
    await rm(join(this.#folder, "server.pid"), { force: true });
    await this.#guard.release();
  }
}

/** Starts a new one-node cluster that creates no topics by itself. */
export async function startEmbeddedKafka(log: (line: string) => void): Promise<StartedServer> {
  await requireJava();
  const classPath = await jars(log);
  const folder = await mkdtemp(join(tmpdir(), "afterimage-kafka-"));
  const [port, controllerPort] = [await freePort(), await freePort()];
  const server = new EmbeddedKafka(folder, classPath, port);
  try {
    const file = join(folder, "server.properties");
    await writeFile(file, properties(port, controllerPort, folder));
    await run("java", [
      "-cp",
      classPath,
      "kafka.tools.StorageTool",
      "format",
      "-t",
      clusterId(),
      "-c",
      file,
      "--standalone",
    ]);
    await server.start();
    return server;
  } catch (error) {
    await server.remove();
    throw error;
  }
}
