// Fault 47: commits that are streamed before anybody can see them, beside a snapshot.
import pg from "pg";
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from "vitest";
import { type Servers, startServers } from "../../dev/servers/servers.ts";
import { letCommitsWait } from "../support/absent-standby.ts";
import { requestSnapshot, statusOf } from "../support/admin.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { KafkaProxy } from "../support/kafka-proxy.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";

let servers: Servers;
let stream: CapturedStream;
const clients: pg.Client[] = [];
beforeAll(async () => {
  servers = await startServers({ own: true });
});
afterEach(async () => {
  await letCommitsGo();
  await Promise.all(clients.splice(0).map((client) => client.end()));
  await stream.drop();
});
afterAll(() => servers?.stop());

/** Smallest chunks. */
const SMALL = { AFTERIMAGE_BATCH_MAX_BYTES: "64KiB" };
const TABLE = `CREATE TABLE t (id int PRIMARY KEY, v text, pad text DEFAULT repeat('x', 400));
  INSERT INTO t SELECT g, 'old' FROM generate_series(1, 20000) g`;

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: stream.database.url });
  await client.connect();
  clients.push(client);
  return client;
}

/** Commits wait no longer. */
async function letCommitsGo(): Promise<void> {
  await stream.sqlAfresh("ALTER SYSTEM SET synchronous_standby_names = ''");
  await stream.sqlAfresh("SELECT pg_reload_conf()");
}

const eventsOf = async (id: number) => (await stream.stored()).filter(({ event }) => event.key?.id === id);
const streamed = (id: number) =>
  waitFor(async () => (await eventsOf(id)).some(({ event }) => event.operation === "update"), {
    what: `the change of row ${id} in the stream`,
  });
const snapshot = async () => (await statusOf(stream.daemon)).snapshot;
const over = () => waitFor(async () => (await snapshot()).length === 0, { what: "the end of it" });
const waits = () =>
  waitFor(async () => (await snapshot())[0]?.waitingFor?.startsWith("transaction ") === true, {
    what: "it to wait for the transaction",
  });

async function expectEqual(): Promise<void> {
  await stream.published();
  const { code, kinds, output } = await verifyDatabase(stream);
  expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
}

test("a change that was streamed and waits for a standby is not followed by the row that others still see", async () => {
  stream = await CapturedStream.create(TABLE, SMALL, servers);
  const writer = await connect();
  await letCommitsWait(stream.database.url);
  const commit = writer.query("UPDATE t SET v = 'new' WHERE id = 5");
  await streamed(5);
  expect((await stream.sqlAfresh("SELECT v FROM t WHERE id = 5")).rows).toEqual([{ v: "old" }]);
  expect(await requestSnapshot(stream.daemon, "public.t")).toBeNull();
  await waits();
  expect((await stream.stored()).some(({ event }) => event.operation === "read")).toBe(false);
  await letCommitsGo();
  await commit;
  await over();
  expect((await eventsOf(5)).at(-1)?.event.after).toMatchObject({ v: "new" });
  await expectEqual();
});

test("the same in the middle of a snapshot, for rows that are still to be read, and after a kill there", async () => {
  // Each chunk takes a while: the snapshot must still be far from its end when the commits are streamed.
  const proxy = await KafkaProxy.start(servers.brokers);
  onTestFinished(() => proxy.close());
  proxy.delay(50);
  const slowed = { ...SMALL, AFTERIMAGE_SNAPSHOT: "initial", AFTERIMAGE_KAFKA_BROKERS: proxy.addresses.join(",") };
  stream = await CapturedStream.create(TABLE, slowed, servers);
  const [one, other] = [await connect(), await connect()];
  await letCommitsWait(stream.database.url);
  const commits = [
    one.query("UPDATE t SET v = 'new' WHERE id = 19990"),
    other.query("UPDATE t SET id = -19991, v = 'moved' WHERE id = 19991"),
  ];
  await streamed(19990);
  proxy.delay(0);
  await waits();
  const { rows } = (await snapshot())[0]!;
  expect(rows).toBeLessThan(19_990);
  await stream.daemon.kill();
  await stream.start();
  await waits();
  expect((await eventsOf(19990)).map(({ event }) => event.operation)).toEqual(["update"]);
  await letCommitsGo();
  await Promise.all(commits);
  await over();
  expect((await eventsOf(19990)).at(-1)?.event.after).toMatchObject({ v: "new" });
  expect((await eventsOf(19991)).at(-1)?.event.operation).toBe("delete");
  await expectEqual();
});
