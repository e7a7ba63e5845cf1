// `afterimage verify` from Kafka alone: a whole stream is proved, also while it is written; what is gone or hidden is told.
import { expect, onTestFinished, test } from "vitest";
import { progressTopic } from "../../src/event/identifier.ts";
import { KafkaConnection } from "../../src/kafka/connection.ts";
import { verify as runInProcess } from "../../src/verify/verify.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { ForgedStream, tellStory } from "../support/forged-stream.ts";
import { kafkaClient, removeTopics } from "../support/topics.ts";
import { runVerify } from "../support/verify-run.ts";

// Each starts several processes; on a busy machine that takes its time.
const environmentOf = (name: string, brokers: readonly string[]): Record<string, string> => ({
  AFTERIMAGE_STREAM: name,
  AFTERIMAGE_KAFKA_BROKERS: brokers.join(","),
});

const verify = (stream: ForgedStream, flags: readonly string[] = []) =>
  runVerify(environmentOf(stream.name, stream.brokers), flags);

async function forge(configs: Record<string, string> = {}): Promise<ForgedStream> {
  const stream = await ForgedStream.open(configs);
  onTestFinished(() => stream.drop());
  return stream;
}

test("a whole stream is proved", async () => {
  const stream = await forge();
  await tellStory(stream);
  const run = await verify(stream);
  expect(run, run.output).toMatchObject({ code: 0, kinds: [] });
  expect(run.report).toMatchObject({
    result: "proven",
    target: { sequence: 15 },
    events: 15,
    barriers: 1,
    transactions: 6,
    progressRecords: 4,
    topics: 3,
    partitions: 12,
    provenFrom: 1,
    vectorsFrom: 1,
    database: null,
    findings: [],
  });
});

test("events beyond the last progress record are found", async () => {
  const stream = await forge();
  await tellStory(stream);
  const last = { transaction: { id: "9", epoch: 1, lsn: "0/FFFFFF", index: 1, last: true }, schema: 1 };
  const event = {
    v: 1,
    table: "public.a",
    operation: "insert",
    key: { id: 1 },
    before: null,
    after: { id: 1, name: null },
  };
  const value = JSON.stringify({ ...event, timestamp: "2026-11-22T18:00:00.123456Z", sequence: 16, ...last });
  await stream.write([{ topic: stream.topic("public.a"), partition: stream.partition(1), key: '{"id":"1"}', value }]);
  const run = await verify(stream);
  expect(run.kinds, run.output).toEqual(["PROGRESS_BEYOND"]);
});

/** What retention does: the partition's records below `offset` are gone. */
async function trim(stream: ForgedStream, topic: string, partition: number, offset = "1"): Promise<void> {
  const admin = kafkaClient(stream.brokers).admin();
  await admin.connect();
  await admin.fetchTopicMetadata({ topics: [topic] });
  await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset }] });
  await admin.disconnect();
}

test("history that retention took is told, with the sequence from which on the rest is proved", async () => {
  const stream = await forge();
  await tellStory(stream);
  await trim(stream, stream.topic("public.a"), stream.partition(1));
  const run = await verify(stream);
  expect(run, run.output).toMatchObject({ code: 1, kinds: ["HISTORY_TRIMMED"], report: { result: "partial" } });
  expect(run.report.provenFrom).toBeGreaterThan(1);
  expect((await verify(stream, ["--allow-partial"])).code).toBe(0);
});

test("a gap that retention can't explain stays one, though another partition was trimmed", async () => {
  const stream = await forge();
  await tellStory(stream, { messages: (all) => all.filter(({ sequence }) => sequence !== 11) });
  await trim(stream, stream.topic("public.a"), stream.partition(1));
  const run = await verify(stream, ["--allow-partial"]);
  expect(run.code, run.output).toBe(1);
  expect(run.kinds).toContain("SEQUENCE_GAP");
});

test("vectors are checked as far back as progress records are kept", async () => {
  const stream = await forge();
  await tellStory(stream);
  await trim(stream, progressTopic(stream.name), 0, "3");
  const run = await verify(stream);
  expect(run, run.output).toMatchObject({ code: 0, kinds: [], report: { vectorsFrom: 4, provenFrom: 1 } });
  expect(run.report.counts).toEqual({ VECTORS_EXPIRED: 1 });
});

test("aborted records take no part; an open transaction that hides others is named", async () => {
  const stream = await forge();
  const topic = stream.topic("public.a");
  const foreign = kafkaClient(stream.brokers).producer({ transactionalId: `${stream.name}_x`, maxInFlightRequests: 1 });
  await foreign.connect();
  onTestFinished(() => foreign.disconnect());
  const begin = async () => {
    const transaction = await foreign.transaction();
    await transaction.send({ topic, messages: [{ partition: stream.partition(1), value: "no event" }] });
    return transaction;
  };
  await (await begin()).abort();
  await tellStory(stream);
  const run = await verify(stream);
  expect(run, run.output).toMatchObject({ code: 0, kinds: [] });
  const open = await begin();
  await stream.publish([["public.a", [{ update: 1, name: "behind it" }]]]);
  const connection = await KafkaConnection.connect({ brokers: stream.brokers, clientId: "afterimage-test" });
  onTestFinished(() => connection.close());
  const options = { stream: stream.name, database: null, ignoreUnseen: false, allowPartial: false };
  await expect(runInProcess(connection, { ...options, heldPatienceMs: 1_000 })).rejects.toMatchObject({
    code: "VERIFY_HELD",
    message: expect.stringContaining(topic),
  });
  await open.abort();
  expect(await runInProcess(connection, { ...options, heldPatienceMs: 60_000 })).toMatchObject({ result: "proven" });
});

test("a topic that was deleted is found", async () => {
  const stream = await forge();
  await tellStory(stream);
  await removeTopics(stream.brokers, [stream.topic("public.bare")]);
  const run = await verify(stream);
  expect(run.kinds, run.output).toEqual(expect.arrayContaining(["TOPIC_LOST", "SEQUENCE_GAP"]));
  expect(run.code).toBe(1);
});

test("a stream that was never published, and brokers that aren't there, are told apart", async () => {
  const stream = await forge();
  const nothing = await runVerify(environmentOf("no_such_stream", stream.brokers));
  expect(nothing.output).toContain("VERIFY_NOTHING");
  expect(nothing.code).toBe(4);
  const unreachable = await runVerify(environmentOf(stream.name, ["127.0.0.1:1"]));
  expect(unreachable.output).toContain("KAFKA_UNREACHABLE");
  expect(unreachable.code).toBe(3);
  expect((await runVerify(environmentOf("Not A Stream", stream.brokers))).code).toBe(2);
});

test("a daemon's stream is proved while the daemon goes on", async () => {
  const stream = await CapturedStream.create(
    "CREATE TABLE public.t (id int PRIMARY KEY, n int); CREATE TABLE public.u (id int PRIMARY KEY, n int)",
    { AFTERIMAGE_BATCH_MAX_BYTES: "64KiB" },
  );
  onTestFinished(() => stream.drop());
  await stream.sql("INSERT INTO public.t SELECT n, 0 FROM generate_series(1, 3000) n");
  let writing = true;
  const writer = (async () => {
    for (let round = 1; writing; round++) {
      await stream.sql("UPDATE public.t SET n = $1 WHERE id <= 20", [round]);
      await stream.sql("INSERT INTO public.u VALUES ($1, 0)", [round]);
      if (round % 20 === 0) await stream.sql("TRUNCATE public.u");
      if (round % 7 === 0) await stream.sql("UPDATE public.t SET id = id + 100000 WHERE id = $1", [round + 100]);
    }
  })();
  for (let time = 0; time < 3; time++) {
    const run = await runVerify(environmentOf(stream.stream, stream.brokers));
    expect(run, run.output).toMatchObject({ code: 0, kinds: [] });
    expect(run.report.events).toBe(run.report.target.sequence);
  }
  writing = false;
  await writer;
});
