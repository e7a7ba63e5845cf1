// Postgres and Kafka as Docker containers, through testcontainers; on fixed host ports, so that a restart keeps the address.
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { GenericContainer, StartedTestContainer } from "testcontainers";
import { AfterimageError } from "../../src/errors.ts";
import { freePort, listens } from "./process.ts";
import type { StartedServer, StopMode } from "./server-control.ts";

/** Loading testcontainers takes half a second: first see whether there is anything it could talk to. */
function mayHaveDocker(): boolean {
  const runtime = process.env.XDG_RUNTIME_DIR;
  return (
    process.env.DOCKER_HOST !== undefined ||
    process.env.TESTCONTAINERS_HOST_OVERRIDE !== undefined ||
    [
      "/var/run/docker.sock",
      ...(runtime === undefined ? [] : [join(runtime, "docker.sock")]),
      join(homedir(), ".docker/run/docker.sock"),
      join(homedir(), ".docker/desktop/docker.sock"),
      join(homedir(), ".testcontainers.properties"),
    ].some((path) => existsSync(path))
  );
}

type Runtime = Awaited<ReturnType<typeof import("testcontainers").getContainerRuntimeClient>>;

/** A Docker daemon that answers, or undefined. */
export async function findDocker(): Promise<Runtime | undefined> {
  if (!mayHaveDocker()) return undefined;
  const { getContainerRuntimeClient } = await import("testcontainers");
  try {
    return await getContainerRuntimeClient();
  } catch {
    return undefined; // no daemon behind the socket: the caller goes on to embedded servers
  }
}

async function untilTrue(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await condition())) {
    if (Date.now() > deadline) {
      throw new AfterimageError(
        "CONTAINER_NOT_STARTED",
        `${what} in Docker did not answer within 60 s.`,
        "Look at `docker logs`, or name servers in AFTERIMAGE_TEST_POSTGRES_URL and AFTERIMAGE_TEST_KAFKA_BROKERS.",
      );
    }
    await sleep(50);
  }
}

async function control(
  docker: Runtime,
  started: StartedTestContainer,
  address: string,
  signals: Record<StopMode, "SIGINT" | "SIGTERM" | "SIGQUIT" | "SIGKILL">,
  answers: () => Promise<boolean>,
): Promise<StartedServer> {
  const container = docker.container.dockerode.getContainer(started.getId());
  const isRunning = async () => (await container.inspect()).State.Running;
  const stopWith = async (signal: string) => {
    if (!(await isRunning())) return;
    await container.kill({ signal });
    await container.wait();
  };
  const start = async () => {
    if (!(await isRunning())) await container.start();
    await untilTrue(address.replace(/\/\/.*@/, "//"), answers);
  };
  await start();
  return {
    address,
    start,
    stop: (mode = "fast") => stopWith(signals[mode]),
    kill: () => stopWith("SIGKILL"),
    restart: async ({ mode = "fast" } = {}) => {
      await stopWith(signals[mode]);
      await start();
    },
    remove: async () => {
      await started.stop({ timeout: 0, removeVolumes: true });
    },
  };
}

export async function startDockerPostgres(docker: Runtime): Promise<StartedServer> {
  const { GenericContainer, Wait } = await import("testcontainers");
  const host = docker.info.containerRuntime.host;
  const port = await freePort();
  const started = await new GenericContainer("postgres:18")
    .withEnvironment({ POSTGRES_PASSWORD: "postgres" })
    // biome-ignore format: one setting a pair says less than the command line
    .withCommand([
    "postgres",
    "-c",
    "wal_level=logical",
    "-c",
    "max_wal_senders=40",
    "-c",
    "max_replication_slots=40",
    "-c",
    "max_prepared_transactions=40",
    "-c",
    "max_connections=200",
    "-c",
    "max_wal_size=4GB",
    "-c",
    "fsync=off",
  ])
    .withExposedPorts({ container: 5432, host: port })
    .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/, 2)) // the first is initdb's own server
    .start();
  const address = `postgres://postgres:postgres@${host}:${port}/postgres`;
  const signals = { fast: "SIGINT", immediate: "SIGQUIT" } as const;
  return control(docker, started, address, signals, async () => {
    const client = new pg.Client({ connectionString: address, connectionTimeoutMillis: 2000 });
    client.on("error", () => undefined); // the answer is given by connect()
    try {
      await client.connect();
      await client.end();
      return true;
    } catch {
      return false; // not up yet: the caller has the deadline
    }
  });
}

export async function startDockerKafka(docker: Runtime): Promise<StartedServer> {
  const { GenericContainer, Wait } = await import("testcontainers");
  const host = docker.info.containerRuntime.host === "localhost" ? "127.0.0.1" : docker.info.containerRuntime.host;
  const port = await freePort();
  // One KAFKA_* variable takes away all defaults of the image, so everything is said.
  const container: GenericContainer = new GenericContainer("apache/kafka:4.3.1").withEnvironment({
    KAFKA_NODE_ID: "1",
    KAFKA_PROCESS_ROLES: "broker,controller",
    KAFKA_CONTROLLER_QUORUM_VOTERS: "1@localhost:9093",
    KAFKA_LISTENERS: "PLAINTEXT://:9092,CONTROLLER://:9093,BROKER://:9094",
    KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://${host}:${port},BROKER://localhost:9094`,
    KAFKA_CONTROLLER_LISTENER_NAMES: "CONTROLLER",
    KAFKA_INTER_BROKER_LISTENER_NAME: "BROKER",
    KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT",
    KAFKA_AUTO_CREATE_TOPICS_ENABLE: "false",
    KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: "1",
    KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS: "1",
    KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: "1",
    KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: "1",
    KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS: "1",
    KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR: "1",
    KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR: "1",
    KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: "0",
    KAFKA_BROKER_SESSION_TIMEOUT_MS: "4000", // a killed broker is let in again after that
    KAFKA_BROKER_HEARTBEAT_INTERVAL_MS: "500",
  });
  const started = await container
    .withExposedPorts({ container: 9092, host: port })
    .withWaitStrategy(Wait.forLogMessage(/Kafka Server started/))
    .start();
  const signals = { fast: "SIGTERM", immediate: "SIGKILL" } as const;
  return control(docker, started, `${host}:${port}`, signals, () => listens(port, host));
}
