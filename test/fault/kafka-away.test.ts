// A Kafka that is away is waited for in place, and nobody is told meanwhile that the stream streams.
import { afterEach, beforeEach, expect, test } from "vitest";
import { CapturedStream } from "../support/captured-stream.ts";
import { KafkaProxy } from "../support/kafka-proxy.ts";
import { waitFor } from "../support/wait-for.ts";

let proxy: KafkaProxy;
let stream: CapturedStream;
let address: string;

beforeEach(async () => {
  proxy = await KafkaProxy.start();
  stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY)", {
    AFTERIMAGE_KAFKA_BROKERS: proxy.addresses.join(","),
  });
  address = /"admin":"([^"]+)"/.exec(stream.daemon.output())![1]!;
});
afterEach(async () => {
  await stream.drop();
  await proxy.close();
});

async function seen() {
  const ready = await fetch(`${address}/readyz`);
  const { state, lastError } = (await (await fetch(`${address}/status`)).json()) as {
    state: string;
    lastError: { code: string } | null;
  };
  return { ready: ready.status, state, error: lastError?.code };
}

async function walsender(): Promise<unknown> {
  const { rows } = await stream.sql("SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", [
    `afterimage_${stream.stream}`,
  ]);
  return rows[0]!.active_pid;
}

const becomes = (expected: object) =>
  waitFor(async () => expect(await seen()).toMatchObject(expected), {
    what: JSON.stringify(expected),
    timeout: 40_000,
  });

test.each([
  ["answers nothing, with rows to publish", () => proxy.freeze(), true],
  ["refuses connections, with rows to publish", () => proxy.refuse(), true],
  ["refuses connections, with nothing to publish", () => proxy.refuse(), false],
])("Kafka %s", async (_, away, writes) => {
  const pid = await walsender();
  await stream.sql("INSERT INTO t VALUES (1)");
  await stream.published();
  away();
  if (writes) await stream.sql("INSERT INTO t SELECT generate_series(2, 100)");
  await becomes({ ready: 503, state: "backing-off", error: expect.stringMatching(/^KAFKA_(NOT_READY|UNREACHABLE)$/) });
  proxy.accept();
  await becomes({ ready: 200, state: "streaming" });
  if (!writes) await stream.sql("INSERT INTO t SELECT generate_series(2, 100)");
  const events = await stream.events();
  expect(events.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
  expect(await walsender()).toBe(pid); // the same session all the time
});
