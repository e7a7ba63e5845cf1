// Starts the Postgres and the Kafka that demo, tests and bench need: from the environment, by Docker, or embedded.
import { messageOf } from "../../src/errors.ts";
import { findDocker, startDockerKafka, startDockerPostgres } from "./docker.ts";
import { startEmbeddedKafka } from "./embedded-kafka.ts";
import { type PostgresOptions, type PostgresServer, startEmbeddedPostgres } from "./embedded-postgres.ts";
import { checkNamed } from "./named.ts";
import { givenVersion } from "./postgres-versions.ts";
import type { ServerControl, StartedServer } from "./server-control.ts";

export interface StartOptions {
  /** Is told, line by line, what is being done. */
  log?: (line: string) => void;
  /** Servers of one's own even when the environment names some: for tests that stop, kill or reconfigure them. */
  own?: boolean;
}

export interface Servers {
  /** Where those came from that the environment did not name. */
  readonly took: "environment" | "docker" | "embedded";
  /** Of a superuser, to the database `postgres`. */
  readonly postgresUrl: string;
  /** `host:port` each. */
  readonly brokers: string[];
  /** To stop, kill and restart it; null for one that the environment named. */
  readonly postgres: ServerControl | null;
  readonly kafka: ServerControl | null;
  /** Ends what was started and removes its data. */
  stop(): Promise<void>;
}

export interface OwnServer extends ServerControl {
  readonly address: string;
  /** Ends the server and removes its data. */
  remove(): Promise<void>;
}

const quiet = () => undefined;

function ofGivenVersion(): PostgresOptions {
  const version = givenVersion();
  return version === undefined ? {} : { version };
}

type Starter<T> = {
  docker(docker: NonNullable<Awaited<ReturnType<typeof findDocker>>>): Promise<T>;
  embedded(): Promise<T>;
};

async function startBy<T>(
  starter: Starter<T>,
  log: (line: string) => void,
): Promise<{ took: "docker" | "embedded"; started: T }> {
  const docker = givenVersion() === undefined ? await findDocker() : undefined;
  if (docker !== undefined) {
    try {
      return { took: "docker", started: await starter.docker(docker) };
    } catch (error) {
      // A daemon that cannot pull images is as good as none.
      log(`servers: Docker answers but cannot start the containers (${messageOf(error)}); trying embedded servers`);
    }
  }
  return { took: "embedded", started: await starter.embedded() };
}

/** Starts all; when one fails, ends the others before the error is thrown. */
async function together(starting: (Promise<StartedServer> | undefined)[]): Promise<(StartedServer | undefined)[]> {
  const settled = await Promise.allSettled(starting);
  const failed = settled.find((result) => result.status === "rejected");
  if (failed) {
    await Promise.all(settled.map((result) => (result.status === "fulfilled" ? result.value?.remove() : undefined)));
    throw failed.reason;
  }
  return settled.map((result) => (result.status === "fulfilled" ? result.value : undefined));
}

/**
 * Postgres 18 (`wal_level=logical`) and Kafka 4.3.1. Each of AFTERIMAGE_TEST_POSTGRES_URL (a superuser's) and
 * AFTERIMAGE_TEST_KAFKA_BROKERS (`host:port,…`) replaces one of them; AFTERIMAGE_TEST_POSTGRES_VERSION (15 to 18) makes it an
 * embedded Postgres of that version. Throws AfterimageError with what to install or correct.
 */
export async function startServers({ log = quiet, own = false }: StartOptions = {}): Promise<Servers> {
  const givenUrl = own ? undefined : process.env.AFTERIMAGE_TEST_POSTGRES_URL || undefined;
  const givenBrokers = own ? undefined : process.env.AFTERIMAGE_TEST_KAFKA_BROKERS || undefined;
  await checkNamed(givenUrl, givenBrokers);
  const both = <T>(postgres: () => Promise<T>, kafka: () => Promise<T>) => [
    givenUrl === undefined ? postgres() : undefined,
    givenBrokers === undefined ? kafka() : undefined,
  ];
  let took: Servers["took"] = "environment";
  let [postgres, kafka]: (StartedServer | undefined)[] = [];
  if (givenUrl === undefined || givenBrokers === undefined) {
    const result = await startBy(
      {
        docker: (docker) =>
          together(
            both(
              () => startDockerPostgres(docker),
              () => startDockerKafka(docker),
            ),
          ),
        embedded: () =>
          together(
            both(
              () => startEmbeddedPostgres(ofGivenVersion()),
              () => startEmbeddedKafka(log),
            ),
          ),
      },
      log,
    );
    took = result.took;
    [postgres, kafka] = result.started;
  }
  const brokers = (kafka?.address ?? givenBrokers ?? "").split(",").map((broker) => broker.trim());
  log(
    `servers: Postgres ${postgres ? took : "environment"}, Kafka ${kafka ? took : "environment"} (${brokers.join(", ")})`,
  );
  return {
    took,
    postgresUrl: postgres?.address ?? givenUrl ?? "",
    brokers,
    postgres: postgres ?? null,
    kafka: kafka ?? null,
    async stop() {
      await Promise.all([postgres?.remove(), kafka?.remove()]);
    },
  };
}

/** A Postgres of one's own, whatever the environment names; embedded when a version, settings or a folder are given. */
export function startPostgres(options?: { log?: (line: string) => void }): Promise<OwnServer>;
export function startPostgres(options: PostgresOptions): Promise<PostgresServer>;
export async function startPostgres(
  options: PostgresOptions & { log?: (line: string) => void } = {},
): Promise<OwnServer> {
  const { log = quiet, ...embedded } = options;
  if (Object.keys(embedded).length > 0) return startEmbeddedPostgres(embedded);
  return (await startBy({ docker: startDockerPostgres, embedded: () => startEmbeddedPostgres(ofGivenVersion()) }, log))
    .started;
}

/** A Kafka of one's own, whatever the environment names. */
export async function startKafka(options: { log?: (line: string) => void } = {}): Promise<OwnServer> {
  const log = options.log ?? quiet;
  return (await startBy({ docker: startDockerKafka, embedded: () => startEmbeddedKafka(log) }, log)).started;
}
