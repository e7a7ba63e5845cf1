// Servers that fall silent or go away while the daemon runs, starts or stops: it notices, goes on by itself, and a stop
// is always a clean one within ten seconds.
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { freePort } from "../../dev/servers/process.ts";
import { loadConfig } from "../../src/config/config.ts";
import { createDaemon } from "../../src/daemon/daemon.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { type SpawnedDaemon, spawnCli } from "../support/daemon.ts";
import { API, KafkaProxy } from "../support/kafka-proxy.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { waitFor } from "../support/wait-for.ts";

const TABLE = "CREATE TABLE t (id int PRIMARY KEY)";
/** Longer than a busy machine keeps an answer waiting. */
const SILENCE_MS = 4_000;

let stream: CapturedStream;
let kafka: KafkaProxy;
let postgres: TcpProxy;
beforeAll(async () => {
  kafka = await KafkaProxy.start();
  postgres = await TcpProxy.start(inject("postgresUrl"));
});
afterEach(() => stream.drop());
afterAll(async () => {
  await kafka?.close();
  await postgres?.close();
});

const published = (sequence: number) =>
  waitFor(async () => (await stream.progress())?.sequence === sequence, { what: `${sequence} events` });

async function endsCleanly(daemon: SpawnedDaemon, stop: () => unknown): Promise<void> {
  const begun = Date.now();
  await stop();
  const { code } = await daemon.exited();
  expect(code, daemon.output()).toBe(0);
  expect(Date.now() - begun).toBeLessThan(10_000);
}

test("a connection that died without a word is noticed, and the stream goes on, exactly once", async () => {
  stream = await CapturedStream.create(TABLE);
  await stream.daemon.kill("SIGTERM");
  const config = loadConfig({
    env: {
      AFTERIMAGE_STREAM: stream.stream,
      AFTERIMAGE_POSTGRES_URL: postgres.through(stream.database.url),
      AFTERIMAGE_KAFKA_BROKERS: stream.brokers.join(","),
      AFTERIMAGE_TABLES: "*.*",
      AFTERIMAGE_SNAPSHOT: "never",
      AFTERIMAGE_ADMIN_PORT: "0",
    },
  });
  const patient = { ...config.postgres, silenceMs: SILENCE_MS };
  const said: string[] = [];
  const log = (details: object, message: string) => void said.push(`${message} ${JSON.stringify(details)}`);
  const logger = { info: log, warn: log, error: log };
  const daemon = createDaemon({ ...config, postgres: patient }, { logger });
  const running = daemon.run();
  try {
    await waitFor(() => daemon.status().state === "streaming", { what: "the stream" });
    await stream.sql("INSERT INTO t SELECT generate_series(1, 100)");
    await published(100);
    // An idle stream is silent but for the answers that it asks for.
    await waitFor(() => daemon.status().lag.bytes === 0, { what: "no lag" });
    const since = daemon.status().since;
    const idleUntil = Date.now() + 1.5 * SILENCE_MS;
    await waitFor(() => Date.now() > idleUntil, { what: "the time in which silence would be noticed" });
    expect(daemon.status()).toMatchObject({ state: "streaming", since });

    postgres.forget();
    await waitFor(() => daemon.status().state !== "streaming", { what: "the loss to be noticed" });
    await waitFor(() => daemon.status().lastError?.code === "POSTGRES_UNREACHABLE", { what: "the error" });
    expect(daemon.status().lag).toEqual({ bytes: null, seconds: null, retainedBytes: null });
    // The server has not noticed yet that its client is gone: it holds the slot.
    await stream.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = $1", [
      stream.database.name,
    ]);
    await waitFor(() => daemon.status().state === "streaming", { what: "the stream" });
    await stream.sql("INSERT INTO t SELECT generate_series(101, 200)");
    await published(200);
    expect((await stream.stored()).map(({ event }) => event.sequence)).toEqual(
      Array.from({ length: 200 }, (_, i) => i + 1),
    );
  } finally {
    await daemon.stop();
    await running;
  }
});

describe("a stop is clean within 10 s", () => {
  test.each(["refuse", "freeze"] as const)("with rows that Kafka does not take: %s", async (fault) => {
    const proxy = await KafkaProxy.start();
    try {
      for (const how of ["SIGTERM", "admin"] as const) {
        const port = String(await freePort());
        stream = await CapturedStream.create(TABLE, {
          AFTERIMAGE_KAFKA_BROKERS: proxy.addresses.join(","),
          AFTERIMAGE_ADMIN_PORT: port,
        });
        proxy[fault]();
        await stream.sql("INSERT INTO t SELECT generate_series(1, 100)");
        if (how === "SIGTERM") {
          await endsCleanly(stream.daemon, () => void stream.daemon.child.kill("SIGTERM"));
        } else {
          const stop = spawnCli(["stop"], { AFTERIMAGE_ADMIN_PORT: port });
          await endsCleanly(stream.daemon, () => undefined);
          expect((await stop.exited()).code, stop.output()).toBe(0);
        }
        proxy.accept();
        await stream.start({ AFTERIMAGE_KAFKA_BROKERS: stream.brokers.join(",") });
        expect((await stream.events()).map(({ sequence }) => sequence)).toEqual(
          Array.from({ length: 100 }, (_, i) => i + 1),
        );
        if (how === "SIGTERM") await stream.drop();
      }
    } finally {
      await proxy.close();
    }
  });

  test("with both servers frozen", async () => {
    const [log, server] = [await KafkaProxy.start(), await TcpProxy.start(inject("postgresUrl"))];
    try {
      stream = await CapturedStream.create(TABLE);
      await stream.daemon.kill("SIGTERM");
      await stream.start({
        AFTERIMAGE_KAFKA_BROKERS: log.addresses.join(","),
        AFTERIMAGE_POSTGRES_URL: server.through(stream.database.url),
      });
      // Not before: the rows would wait for the answer to an idle record that is on its way.
      let isFrozen = false;
      const freeze = () => {
        isFrozen = true;
        log.freeze();
      };
      log.strikeAt(API.addPartitions, 1, "request", freeze, { cut: false, naming: `${stream.stream}.public.t` });
      await stream.sql("INSERT INTO t SELECT generate_series(1, 100)");
      await waitFor(() => isFrozen, { what: "the rows to be published" });
      server.freeze();
      await endsCleanly(stream.daemon, () => void stream.daemon.child.kill("SIGTERM"));
    } finally {
      await log.close();
      await server.close();
    }
  });

  test.each(["kafka", "postgres"])("while it starts, with a frozen %s", async (which) => {
    const [log, server] = [await KafkaProxy.start(), await TcpProxy.start(inject("postgresUrl"))];
    stream = await CapturedStream.create(TABLE);
    await stream.daemon.kill("SIGTERM");
    which === "kafka" ? log.freeze() : server.freeze();
    const daemon = stream.spawn({
      AFTERIMAGE_KAFKA_BROKERS: log.addresses.join(","),
      AFTERIMAGE_POSTGRES_URL: server.through(stream.database.url),
    });
    try {
      await daemon.says('"state":"preflight"');
      await endsCleanly(daemon, () => void daemon.child.kill("SIGTERM"));
    } finally {
      await daemon.kill();
      await log.close();
      await server.close();
    }
  });

  test("while it makes the slot, and nobody makes it after that", async () => {
    stream = await CapturedStream.create(TABLE);
    await stream.daemon.kill("SIGTERM");
    const fresh = `${stream.stream}_b`;
    await stream.sql("BEGIN");
    await stream.sql("SELECT pg_current_xact_id()");
    const daemon = stream.spawn({ AFTERIMAGE_STREAM: fresh });
    try {
      const making = `SELECT count(*)::int AS n FROM pg_stat_activity WHERE query LIKE 'SELECT pg_create_logical%' AND application_name = 'afterimage ${fresh} catalog' AND state = 'active'`;
      const running = async () => (await stream.sqlAfresh(making)).rows[0]!.n;
      await waitFor(async () => (await running()) === 1, { what: "the slot to be made" });
      await endsCleanly(daemon, () => void daemon.child.kill("SIGTERM"));
      await waitFor(async () => (await running()) === 0, { what: "the server to have given it up" });
    } finally {
      await stream.sql("COMMIT");
      await daemon.kill();
    }
    const slots = await stream.sql("SELECT count(*)::int AS n FROM pg_replication_slots WHERE slot_name = $1", [
      `afterimage_${fresh}`,
    ]);
    expect(slots.rows).toEqual([{ n: 0 }]);
  });
});

test("a reconnect is no first start: a table that can't be captured is told, left out, and ends nothing", async () => {
  stream = await CapturedStream.create(TABLE);
  await stream.sql("CREATE TABLE keyless (note text)");
  await stream.sql("CREATE TABLE later (id int PRIMARY KEY)");
  await stream.sql(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'afterimage %'",
    [stream.database.name],
  );
  await stream.daemon.says(/TABLE_WITHOUT_IDENTITY.*keyless/);
  await waitFor(() => stream.daemon.output().match(/"state":"streaming"/g)!.length >= 2, { what: "the stream" });
  await stream.sql("UPDATE keyless SET note = 'still allowed'");
  await stream.sql("INSERT INTO later VALUES (1)");
  await stream.sql("INSERT INTO t VALUES (1)");
  expect((await stream.events()).map(({ table }) => table)).toEqual(["public.later", "public.t"]);
});
