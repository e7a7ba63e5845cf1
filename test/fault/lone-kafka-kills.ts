// Run by hand: `node test/fault/lone-kafka-kills.ts [rounds]`. Kills a lone Kafka broker with SIGKILL at random moments
// under load, half of them around the end of a transaction, in some rounds the daemon with it; then `afterimage verify --against-database` has to find everything
// right. Prints how often brokers had lost the end of a transaction, and how it was settled.
import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { createDatabase } from "../../dev/servers/database.ts";
import { startServers } from "../../dev/servers/servers.ts";
import { type Lsn, parseLsn } from "../../src/event/lsn.ts";
import { KafkaConnection } from "../../src/kafka/connection.ts";
import { readProgress } from "../../src/sink/progress-log.ts";
import { type SpawnedDaemon, spawnCli } from "../support/daemon.ts";
import { API, KafkaProxy } from "../support/kafka-proxy.ts";

const STREAM = "kills";
const MOMENTS = ["EndTxn answered", "any time", "EndTxn asked", "EndTxn answered a moment ago"] as const;
const rounds = Number(process.argv[2] ?? 40);
const servers = await startServers({ own: true });
const proxy = await KafkaProxy.start(servers.brokers);
const database = await createDatabase(servers.postgresUrl, "kills");
const environment = {
  AFTERIMAGE_STREAM: STREAM,
  AFTERIMAGE_POSTGRES_URL: database.url,
  AFTERIMAGE_KAFKA_BROKERS: proxy.addresses.join(","),
  AFTERIMAGE_TABLES: "*.*",
  AFTERIMAGE_ADMIN_PORT: "0",
  AFTERIMAGE_SNAPSHOT: "never",
  // The more partitions a transaction has, the longer its markers take.
  AFTERIMAGE_KAFKA_PARTITIONS: "200",
};
const daemons: SpawnedDaemon[] = [];
const startDaemon = () => {
  const daemon = spawnCli(["start"], environment);
  daemons.push(daemon);
  return daemon;
};
let failed: unknown = null;
try {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query("CREATE TABLE t (id int PRIMARY KEY, n int); CREATE TABLE u (id int PRIMARY KEY, note text)");
  let daemon = startDaemon();
  await daemon.says('"state":"streaming"');
  let loading = true;
  let columns = 0;
  const load = (async () => {
    while (loading) {
      const id = randomInt(500);
      await client.query(
        "INSERT INTO t SELECT g, 0 FROM generate_series($1::int, $1 + 300) g ON CONFLICT (id) DO UPDATE SET n = t.n + 1",
        [id],
      );
      if (randomInt(4) === 0) {
        await client.query("INSERT INTO u VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET note = $2", [
          id,
          "x".repeat(randomInt(300)),
        ]);
      }
      if (randomInt(10) === 0) await client.query("DELETE FROM t WHERE id = $1", [randomInt(500)]);
      if (randomInt(300) === 0) await client.query(`ALTER TABLE u ADD COLUMN c${columns++} int`);
      await sleep(randomInt(100));
    }
  })();
  const published = async () => {
    const { rows } = await database.client.query("SELECT pg_current_wal_lsn()::text AS lsn");
    const target: Lsn = parseLsn(rows[0].lsn);
    for (const began = Date.now(); Date.now() - began < 120_000; await sleep(100)) {
      if (daemon.child.exitCode !== null) throw new Error("The daemon has ended.");
      try {
        const connection = await KafkaConnection.connect({ brokers: servers.brokers, clientId: "kills" });
        try {
          const progress = await readProgress(connection, `${STREAM}.progress`);
          if (progress !== null && progress.endLsn >= target) return;
        } finally {
          await connection.close();
        }
      } catch {}
    }
    throw new Error("It does not get on.");
  };
  let together = 0;
  for (let round = 1; round <= rounds; round++) {
    await published();
    await sleep(randomInt(400));
    const atOnce = randomInt(6) === 0;
    const later = !atOnce && randomInt(4) === 0;
    const killed = Promise.withResolvers<unknown>();
    const kill = () => killed.resolve(Promise.all([servers.kafka!.kill(), atOnce ? daemon.kill() : undefined]));
    const moment = MOMENTS[round % MOMENTS.length]!;
    switch (moment) {
      case "any time":
        kill();
        break;
      case "EndTxn answered":
        proxy.strikeAt(API.endTxn, 1, "reply", kill, { cut: false });
        break;
      case "EndTxn asked":
        proxy.strikeAt(API.endTxn, 1, "request", () => setTimeout(kill, randomInt(10)), { cut: false });
        break;
      case "EndTxn answered a moment ago":
        proxy.strikeAt(API.endTxn, 1, "reply", () => setTimeout(kill, randomInt(12)), { cut: false });
        break;
    }
    await killed.promise;
    await servers.kafka!.start();
    if (later) {
      await sleep(randomInt(7_000)); // while it is settled, perhaps
      await daemon.kill();
    }
    if (atOnce || later) {
      together++;
      daemon = startDaemon();
    }
    const output = daemons.map((one) => one.output()).join("");
    const count = (text: string) => output.split(text).length - 1;
    console.log(
      `round ${round} (${moment}): settled by commit ${count("it is committed now")}, by abort ${count("it is aborted now")}; daemon killed too ${together}`,
    );
  }
  loading = false;
  await load;
  await client.end();
  await published();
  const verify = spawnCli(["verify", "--against-database"], {
    ...environment,
    AFTERIMAGE_KAFKA_BROKERS: servers.brokers.join(","),
  });
  const { code } = await verify.exited({ timeout: 300_000 });
  console.log(verify.output());
  if (code !== 0) throw new Error(`verify ended with ${code}`);
} catch (error) {
  failed = error;
  console.error(error, "\n", daemons.at(-1)?.output().slice(-4_000));
} finally {
  await Promise.all(daemons.map((daemon) => daemon.kill()));
  await database.drop().catch(() => undefined);
  await proxy.close();
  await servers.stop();
}
process.exit(failed === null ? 0 : 1);
