// `postgres.origin: none` in a database that subscribes to another one: what it was sent is not in the topics.
import { expect, onTestFinished, test } from "vitest";
import { CapturedStream } from "../support/captured-stream.ts";
import { createDatabase, type TestDatabase, unique } from "../support/database.ts";
import { runVerify, verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";

const TABLE = "CREATE TABLE t (id int PRIMARY KEY, note text)";

/** A database whose table `t` the stream's own database subscribes to. */
async function subscribedTo(stream: CapturedStream): Promise<TestDatabase> {
  const other = await createDatabase();
  const slot = unique("afterimage_subscription");
  onTestFinished(async () => {
    await stream.sqlAfresh(
      "ALTER SUBSCRIPTION s DISABLE; ALTER SUBSCRIPTION s SET (slot_name = NONE); DROP SUBSCRIPTION s",
    );
    await other.drop();
  });
  await other.client.query(`${TABLE}; CREATE PUBLICATION p FOR TABLE t`);
  // The subscription can't make it: on one server it would wait for its own transaction.
  await other.client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [slot]);
  const { username, password } = new URL(other.url);
  const [{ port }] = (await stream.sql("SELECT inet_server_port() AS port")).rows as [{ port: number }];
  await stream.sql(
    `CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=${port} user=${username} password=${password} dbname=${other.name}'
       PUBLICATION p WITH (create_slot = false, slot_name = ${slot}, copy_data = false)`,
  );
  return other;
}

const insert = (id: number) => `INSERT INTO t VALUES (${id}, 'new')`;

test("what came by replication is left out, across a kill, until all is wanted; verify says so, and 15 refuses it", async () => {
  const stream = await CapturedStream.prepare(TABLE, {
    AFTERIMAGE_POSTGRES_ORIGIN: "none",
    AFTERIMAGE_SNAPSHOT: "initial",
  });
  onTestFinished(() => stream.drop());
  const [{ version }] = (await stream.sql("SELECT current_setting('server_version_num')::int AS version")).rows as [
    { version: number },
  ];
  if (version < 160_000) {
    const daemon = stream.spawn();
    expect(await daemon.exited(), daemon.output()).toMatchObject({ code: 4 });
    expect(daemon.output()).toContain('"code":"ORIGIN_UNSUPPORTED"');
    expect((await stream.sql("SELECT FROM pg_publication")).rows).toEqual([]);
    return;
  }
  const other = await subscribedTo(stream);
  const arrives = async (id: number) => {
    await other.client.query(insert(id));
    const there = async () => (await stream.sql("SELECT FROM t WHERE id = $1", [id])).rows.length === 1;
    await waitFor(there, { what: `row ${id} to come by replication` });
  };
  const events = async () =>
    (await stream.events()).map((event) => [
      event.sequence,
      event.operation,
      "key" in event ? (event.key?.id ?? null) : null,
    ]);

  await arrives(1);
  await stream.start();
  await waitFor(async () => (await stream.progress())?.snapshot.length === 0, { what: "the end of the snapshot" });
  await stream.sql(insert(2));
  await arrives(3);
  await stream.sql("UPDATE t SET note = 'changed here' WHERE id = 3");
  await stream.published();
  await stream.daemon.kill();
  await arrives(4);
  await stream.sql("DELETE FROM t WHERE id = 2");
  await stream.start();
  const written = [
    [1, "gap", null],
    [2, "read", 1],
    [3, "sweep", null],
    [4, "insert", 2],
    [5, "update", 3],
    [6, "delete", 2],
  ];
  expect(await events()).toEqual(written);
  const against = await verifyDatabase(stream);
  expect(against.code).not.toBe(0);
  expect(against.output).toContain("VERIFY_ORIGIN");
  const alone = await runVerify({
    AFTERIMAGE_STREAM: stream.stream,
    AFTERIMAGE_KAFKA_BROKERS: stream.brokers.join(","),
  });
  expect(alone, alone.output).toMatchObject({ code: 0, kinds: [] });

  await stream.daemon.kill("SIGTERM");
  await stream.start({ AFTERIMAGE_POSTGRES_ORIGIN: "any" });
  await arrives(5);
  expect(await events()).toEqual([...written, [7, "insert", 5]]);
});
