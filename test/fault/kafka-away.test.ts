// A Kafka that is away is waited for in place, and nobody is told meanwhile that the stream streams. Most of the time is
// spent waiting, so the cases run side by side, each with a stream and a proxy of its own.
import { expect, test } from "vitest";
import { adminAddress } from "../support/admin.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { KafkaProxy } from "../support/kafka-proxy.ts";
import { waitFor } from "../support/wait-for.ts";

async function seen(stream: CapturedStream) {
  const address = await adminAddress(stream.daemon);
  const ready = await fetch(`${address}/readyz`);
  const { state, lastError } = (await (await fetch(`${address}/status`)).json()) as {
    state: string;
    lastError: { code: string } | null;
  };
  return { ready: ready.status, state, error: lastError?.code };
}

async function walsender(stream: CapturedStream): Promise<unknown> {
  const { rows } = await stream.sql("SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", [
    `afterimage_${stream.stream}`,
  ]);
  return rows[0]!.active_pid;
}

const becomes = (stream: CapturedStream, expected: object) =>
  waitFor(async () => expect(await seen(stream)).toMatchObject(expected), {
    what: JSON.stringify(expected),
  });

test.concurrent.each([
  ["answers nothing, with rows to publish", "freeze", true],
  ["refuses connections, with rows to publish", "refuse", true],
  ["refuses connections, with nothing to publish", "refuse", false],
] as const)("Kafka %s", async (_, fault, writes) => {
  const proxy = await KafkaProxy.start();
  let stream: CapturedStream | undefined;
  try {
    stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY)", {
      AFTERIMAGE_KAFKA_BROKERS: proxy.addresses.join(","),
    });
    const pid = await walsender(stream);
    await stream.sql("INSERT INTO t VALUES (1)");
    await stream.published();
    proxy[fault]();
    if (writes) await stream.sql("INSERT INTO t SELECT generate_series(2, 100)");
    const error = expect.stringMatching(/^KAFKA_(NOT_READY|UNREACHABLE)$/);
    await becomes(stream, { ready: 503, state: "backing-off", error });
    proxy.accept();
    await becomes(stream, { ready: 200, state: "streaming" });
    if (!writes) await stream.sql("INSERT INTO t SELECT generate_series(2, 100)");
    const events = await stream.events();
    expect(events.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    expect(await walsender(stream)).toBe(pid); // the same session all the time
  } finally {
    await stream?.drop();
    await proxy.close();
  }
});
