// A transaction is published in part, and before its rest the key of its table changes: an update that was one event is two
// now, or the other way round. Events are counted here, not only rows.
import { expect, onTestFinished, test } from "vitest";
import { CapturedStream } from "../support/captured-stream.ts";
import { KafkaProxy } from "../support/kafka-proxy.ts";
import { waitFor } from "../support/wait-for.ts";

const ROWS = 2000;

test.each([
  { name: "updates become key changes", from: "b", to: "a" },
  { name: "key changes become updates", from: "a", to: "b" },
  { name: "a table gets its first key", from: null, to: "a" },
])("$name: each row's change is published once", async ({ from, to }) => {
  // Each piece takes a while, so that the last one is far off at the kill.
  const proxy = await KafkaProxy.start();
  onTestFinished(() => proxy.close());
  const key = from === null ? "" : `, PRIMARY KEY (${from})`;
  const stream = await CapturedStream.create(
    `CREATE TABLE t (a int NOT NULL, b int NOT NULL, note text${key}); ALTER TABLE t REPLICA IDENTITY FULL;
     INSERT INTO t SELECT g, g, repeat('x', 100) FROM generate_series(1, ${ROWS}) g`,
    { AFTERIMAGE_BATCH_MAX_BYTES: "64KiB", AFTERIMAGE_KAFKA_BROKERS: proxy.addresses.join(",") },
  );
  onTestFinished(() => stream.drop());
  await stream.published();
  proxy.delay(50);
  await stream.sql(`BEGIN; UPDATE t SET a = a + 100000; COMMIT`);
  await waitFor(async () => (await stream.progress())?.last?.complete === false, { what: "a first piece" });
  await stream.daemon.kill();
  const cut = (await stream.progress())!;
  expect(cut.last).toMatchObject({ complete: false });
  proxy.delay(0);
  const drop = from === null ? "" : "DROP CONSTRAINT t_pkey,";
  await stream.sql(`ALTER TABLE t ${drop} ADD PRIMARY KEY (${to})`);
  await stream.start();
  await stream.published();
  const updated = (await stream.stored())
    .map(({ event }) => event)
    .filter(({ transaction }) => transaction.id === cut.last!.xid);
  const rows = updated.flatMap((event) =>
    event.operation === "insert" || event.operation === "update" ? event.after.b : [],
  );
  expect(rows).toEqual(Array.from({ length: ROWS }, (_, at) => at + 1));
  expect(updated.map(({ transaction }) => transaction.index)).toEqual(updated.map((_, at) => at + 1));
});
