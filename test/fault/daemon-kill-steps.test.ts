// SIGKILL between any two steps towards Kafka: at each request of a transaction before the broker has it, and at each
// reply before the daemon has it.
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { playTopic } from "../../dev/demo/compare.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { API, KafkaProxy } from "../support/kafka-proxy.ts";
import { readTopic } from "../support/topics.ts";

let stream: CapturedStream;
let proxy: KafkaProxy;

beforeAll(async () => {
  stream = await CapturedStream.create("CREATE TABLE t (id serial PRIMARY KEY, note text)");
  await stream.daemon.kill();
  proxy = await KafkaProxy.start();
});
afterAll(async () => {
  await stream?.drop();
  await proxy?.close();
});

const moments = (["initProducerId", "addPartitions", "produce", "endTxn"] as const).flatMap((api) =>
  (["request", "reply"] as const).flatMap((moment) =>
    // A start sends one InitProducerId; a batch has two Produce requests: its events, then the progress record.
    (api === "initProducerId" ? [1] : [1, 2]).map((nth) => ({ api, moment, nth })),
  ),
);

test.each(moments)("killed at $api $moment $nth", async ({ api, moment, nth }) => {
  await stream.sql("INSERT INTO t (note) SELECT 'waits' FROM generate_series(1, 40)");
  const brokers = proxy.addresses.join(",");
  const daemon = stream.spawn({ AFTERIMAGE_KAFKA_BROKERS: brokers, AFTERIMAGE_BATCH_LINGER: "0ms" });
  proxy.strikeAt(API[api], nth, moment, () => process.kill(daemon.pid, "SIGKILL"));
  const writing = new AbortController();
  const writer = write(writing.signal);
  const { signal } = await daemon.exited();
  writing.abort();
  await writer;
  expect(signal).toBe("SIGKILL");
  expect(await stream.confirmedFlushLsn()).toBeLessThanOrEqual((await stream.progress())!.endLsn);
});

/** So that a second transaction follows the first. */
async function write(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await stream.sql(
      "INSERT INTO t (note) VALUES ('follows'); UPDATE t SET note = 'seen' WHERE id = currval('t_id_seq')",
    );
  }
}

test("afterwards every change is there once, in order", async () => {
  await stream.start();
  await stream.published();
  const state = playTopic(await readTopic(inject("brokers"), `${stream.stream}.public.t`));
  expect(state).toMatchObject({ missing: [], duplicates: [], outOfOrder: [], unresolved: [] });
  const { rows } = await stream.sql("SELECT id::text, note FROM t ORDER BY id");
  const topicRows = new Map([...state.rows.values()].map((row) => [row.id, row.note]));
  expect(rows.filter(({ id, note }) => topicRows.get(String(id)) !== note)).toEqual([]);
  expect(topicRows.size).toBe(rows.length);
  expect(rows.length).toBeGreaterThan(moments.length * 40);
});
