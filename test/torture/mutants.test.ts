// The checker on a short real history: nothing wrong with it, and every mutant of it is found.
import { afterAll, beforeAll, expect, test } from "vitest";
import { CapturedStream } from "../support/captured-stream.ts";
import { waitFor } from "../support/wait-for.ts";
import { verdictOf } from "./ask-verify.ts";
import { check } from "./checker/check.ts";
import { Follower, readStream } from "./collect-kafka.ts";
import { collectPostgres, createOracleSlot, dropOracleSlot } from "./collect-postgres.ts";
import type { Evidence } from "./evidence.ts";
import { putTogether, takeApart } from "./forge.ts";
import { MUTANTS, mutated } from "./mutants.ts";
import { seeded } from "./random.ts";
import { Sampler } from "./sampler.ts";
import { CAPTURED, KEYLESS, setupSql } from "./workload/setup.ts";
import { Workload } from "./workload/workload.ts";

const SETTINGS = {
  AFTERIMAGE_TABLES: CAPTURED,
  AFTERIMAGE_KEYLESS: KEYLESS,
  AFTERIMAGE_BATCH_MAX_BYTES: "64KiB",
};
const SEED = process.env.AFTERIMAGE_TORTURE_SEED || "mutants";
const PARTITIONS = 4;
const KILLS = 3;
/** Few large transactions: the mutants are many. */
const LOAD = { rate: 40, bulkRows: 200, frames: { evolve: 4, copy: 0 } };
/** What some mutants break, on rows that the workload leaves alone; one transaction each. */
const CERTAINLY = [
  "INSERT INTO public.notes (id, revision, body) SELECT g, 1, repeat(md5(g::text), 400) FROM generate_series(9001, 9009) g",
  "UPDATE public.notes SET revision = 2 WHERE id BETWEEN 9001 AND 9009",
  "UPDATE public.notes SET id = id + 100 WHERE id BETWEEN 9001 AND 9004",
  "UPDATE public.notes SET body = 'changed' WHERE id BETWEEN 9005 AND 9006",
  "INSERT INTO public.notes (id, revision, extra) VALUES (9500, 1, 'no body')",
  "DELETE FROM public.notes WHERE id = 9500",
  ...Array.from(
    { length: 3 },
    () => "UPDATE public.accounts SET balance = balance + 1 - 2 * (id % 2) WHERE id IN (1, 2)",
  ),
  "INSERT INTO public.lists VALUES (9001, '{x-1}'), (9002, '{x-1}'), (9003, '{x-1}'), (9004, '{x-1}'), (9005, '{x-1}')",
  ...Array.from(
    { length: 3 },
    (_, at) => `UPDATE public.lists SET elements = elements || '{y-${at}}' WHERE id BETWEEN 9001 AND 9005`,
  ),
  "INSERT INTO public.heap VALUES (9001, 'stays', 1), (9002, 'stays', 1)",
  "TRUNCATE public.wiped_a, public.wiped_b",
  // Larger than a batch.
  "INSERT INTO public.bulk SELECT -g, repeat('x', 200) FROM generate_series(1, 800) g",
];

let evidence: Evidence;
/** What must be undone, last first. */
const resources = new AsyncDisposableStack();

async function playHistory(): Promise<Evidence> {
  const stream = await CapturedStream.create(setupSql(), SETTINGS);
  resources.defer(() => stream.drop());
  const { url } = stream.database;
  await createOracleSlot(url);
  resources.defer(() => dropOracleSlot(url));
  const began = performance.now();
  const sampler = new Sampler({
    ...{ postgresUrl: url, brokers: stream.brokers, stream: stream.stream, began },
    adminPorts: () => adminPorts(stream),
  });
  resources.defer(() => sampler.stop());
  const follower = await Follower.start(stream.brokers, stream.stream);
  resources.defer(() => follower.stop());
  const workload = await Workload.start({ url, random: seeded(SEED), ...LOAD });
  resources.defer(() => workload.stop().catch(() => undefined));
  const exits: Evidence["exits"][number][] = [];
  for (let kill = 1; kill <= KILLS; kill++) {
    await waitFor(
      () => {
        if (workload.failure !== null) throw workload.failure;
        return workload.counters.committed > kill * 100;
      },
      { what: "transactions" },
    );
    await workload.pause();
    for (const statement of kill === 2 ? CERTAINLY : []) await stream.sql(statement);
    workload.resume();
    await stream.daemon.kill();
    exits.push({
      ...{ process: "daemon", code: null, signal: "SIGKILL", errorCode: null },
      ...{ sent: stream.daemon.sent, during: "kill-daemon", allowed: [] },
    });
    await stream.start();
  }
  await workload.stop();
  await stream.published(120_000);
  const verified = await verdictOf(stream.ask("verify", {}, ["--against-database", "--json"]), 90_000);
  await sampler.stop();
  await stream.daemon.kill("SIGTERM");
  await follower.reached();
  const postgres = await collectPostgres(url, { stream: stream.stream, partitions: PARTITIONS });
  const kafka = await readStream(stream.brokers, stream.stream);
  const ms = Math.round(performance.now() - began);
  return {
    ...{ stream: stream.stream, ...postgres, ...kafka, followed: follower.records },
    // A view that is equal, so that its mutants have something to change; the checker asks for looks all the time.
    ...{ view: postgres.contents, looks: looksOf(postgres.contents, ms) },
    ...{ positions: sampler.positions, health: sampler.health, exits, rounds: [], dark: [], whole: true, verified },
    watch: {
      ms,
      misses: { ...sampler.misses, looks: { count: 0, last: null } },
    },
  };
}

/** Of the daemon that was started last. */
function adminPorts(stream: CapturedStream): number[] {
  const port = /"admin":"http:\/\/127\.0\.0\.1:(\d+)"/.exec(stream.daemon.stdout())?.[1];
  return port === undefined || stream.daemon.child.signalCode !== null ? [] : [Number(port)];
}

/** One a second. */
function looksOf(contents: Evidence["contents"], ms: number): Evidence["looks"] {
  const rows = contents.get("public.lists")!;
  const lists = new Map(rows.map((row) => [row.get("id")!, row.get("elements")!.slice(1, -1).split(",")]));
  return Array.from({ length: Math.ceil(ms / 1_000) }, (_, second) => ({ at: second * 1_000, sum: null, lists }));
}

beforeAll(async () => {
  evidence = await playHistory();
}, 240_000);

afterAll(() => resources.disposeAsync(), 60_000);

test("a real history has no violation", () => {
  const verdict = check(evidence);
  expect(verdict.violations).toEqual([]);
  expect(verdict).toMatchObject({ lost: 0, duplicated: 0, misordered: 0 });
  expect(verdict.events).toBeGreaterThan(1_000);
});

test("taken apart and put together it has none either", () => {
  expect(check(putTogether(evidence, takeApart(evidence))).violations).toEqual([]);
});

test.each(MUTANTS)("$name: found", { timeout: 60_000 }, (mutant) => {
  const { violations } = check(mutated(mutant, evidence));
  for (const [invariant, kind, what] of mutant.finds) {
    expect(violations).toContainEqual({ invariant, kind, what: expect.stringMatching(`^${what}`) });
  }
});

test("a follower gets what a reader gets at the end", () => {
  expect(new Set(evidence.followed.map(({ value }) => value))).toEqual(
    new Set([...evidence.records, ...evidence.progress].map(({ value }) => value)),
  );
});
