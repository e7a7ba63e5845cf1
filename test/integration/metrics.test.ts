// Metrics and health of real daemons, one that streams and one that stands by, as Prometheus and a kubelet ask for them.
import { afterAll, beforeAll, expect, test } from "vitest";
import { statusOf } from "../support/admin.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import type { SpawnedDaemon } from "../support/daemon.ts";
import { waitFor } from "../support/wait-for.ts";

let stream: CapturedStream;
let standby: SpawnedDaemon;

beforeAll(async () => {
  stream = await CapturedStream.create(
    `CREATE TABLE "a""b" (id int PRIMARY KEY); CREATE TABLE quiet (id int PRIMARY KEY);
     INSERT INTO quiet SELECT generate_series(1, 100)`,
    { AFTERIMAGE_METRICS_PORT: "0", AFTERIMAGE_SNAPSHOT: "initial", AFTERIMAGE_WAL_GUARD_WARN: "1MiB" },
  );
  standby = stream.spawn();
  await standby.says(/"state":"standby"/);
});

afterAll(async () => {
  await standby?.kill();
  await stream?.drop();
});

async function get(daemon: SpawnedDaemon, path: string): Promise<{ status: number; text: string }> {
  const address = await waitFor(async () => /"metrics":"([^"]+)"/.exec(daemon.output())?.[1] ?? null, {
    what: "the metrics address",
  });
  const response = await fetch(`${address}${path}`);
  return { status: response.status, text: await response.text() };
}

/** Value of a sample; null without one. `labels` besides the stream. */
async function sample(daemon: SpawnedDaemon, name: string, labels = ""): Promise<number | null> {
  const { text } = await get(daemon, "/metrics");
  const begin = `${name}{${labels === "" ? "" : `${labels},`}stream="${stream.stream}"} `;
  const line = text.split("\n").find((each) => each.startsWith(begin));
  return line === undefined ? null : Number(line.slice(begin.length));
}

test("what is published is counted, for each table, and the lag is told", async () => {
  await stream.swept("public.quiet");
  await stream.sql('INSERT INTO "a""b" SELECT generate_series(1, 2500)');
  const events = await stream.events();
  const sequence = events.at(-1)!.sequence;
  const count = (name: string, labels?: string) => sample(stream.daemon, `afterimage_${name}`, labels);
  await waitFor(async () => (await count("sequence")) === sequence, { what: "the sequence in the metrics" });
  const published = (of: string) => events.filter(({ table }) => table === of).length;
  expect(published('public."a""b"')).toBe(2500);
  expect(await count("table_events_published_total", String.raw`table="public.\"a\"\"b\""`)).toBe(2500);
  // Rows that a snapshot read, and the sweep at its end.
  expect(await count("table_events_published_total", 'table="public.quiet"')).toBe(published("public.quiet"));
  expect(published("public.quiet")).toBeGreaterThan(100);
  expect(await count("events_published_total")).toBe(sequence);
  expect(await count("published_bytes_total")).toBeGreaterThan(2500 * 100);
  expect(await count("kafka_transactions_total")).toBeGreaterThan(1);
  expect(await count("kafka_transaction_seconds_total")).toBeGreaterThan(0);
  expect(await count("tables")).toBe(2);
  // Others write to the same server, so how much it is nobody knows.
  await waitFor(async () => (await count("lag_bytes")) !== null && (await count("lag_seconds")) !== null, {
    what: "the lag",
  });
  expect(await count("state", 'state="streaming"')).toBe(1);
  expect(await count("wal_limit_bytes", 'level="warn"')).toBe(1024 ** 2);
  await waitFor(async () => (await count("wal_retained_bytes")) !== null, { what: "what the slot keeps" });
});

test("a daemon that stands by is ready and says so; the one that streams sees it", async () => {
  expect(JSON.parse((await get(standby, "/readyz")).text)).toEqual({
    ok: true,
    state: "standby",
    reason: expect.stringContaining("another daemon streams"),
  });
  expect((await get(stream.daemon, "/readyz")).text).toContain('"reason":"streams"');
  expect(await sample(standby, "afterimage_state", 'state="standby"')).toBe(1);
  expect(await sample(standby, "afterimage_lag_seconds")).toBeNull();
  for (const daemon of [stream.daemon, standby]) {
    await waitFor(async () => (await sample(daemon, "afterimage_standby_daemons")) === 1, {
      what: "the standby, seen",
    });
  }
  await standby.kill();
  await waitFor(async () => (await statusOf(stream.daemon)).standbyDaemons === 0, { what: "the standby, gone" });
});
