// A consumer that decodes meets an event before the schema that it names: it waits, goes on when the schema comes, stops when
// it is asked to, and says which schema it lacks when none comes.
import { expect, inject, onTestFinished, test } from "vitest";
import { parseEnvelope } from "../../src/event/envelope.ts";
import { schemasTopic } from "../../src/event/identifier.ts";
import { ZERO_LSN } from "../../src/event/lsn.ts";
import { encodeSchema } from "../../src/event/schema.ts";
import { KafkaLogReader } from "../../src/sdk/consumer/kafka-log-reader.ts";
import { SchemaReader } from "../../src/sdk/consumer/schema-reader.ts";
import { createConsumer, sqliteStore } from "../../src/sdk/index.ts";
import { EventDecoder } from "../../src/sdk/values/event-decoder.ts";
import { uniqueStream } from "../support/database.ts";
import { temporaryFile } from "../support/products-view.ts";
import { INT8, removeTopics, StreamWriter } from "../support/stream-writer.ts";
import { makeTopics } from "../support/topics.ts";
import { waitFor } from "../support/wait-for.ts";

const TABLE = "public.t";
const SCHEMA = encodeSchema({
  ...{ schema: 1, table: TABLE, oid: 1, publicationRel: null, topicId: "", identity: "d", readAt: ZERO_LSN },
  columns: [{ name: "id", type: "int8", oid: INT8, typmod: -1, key: 1 }],
});

async function open() {
  const stream = uniqueStream();
  const writer = await StreamWriter.open({
    stream,
    tables: [{ table: TABLE, columns: [["id", INT8, 1]] }],
    partitions: 1,
  });
  const topic = schemasTopic(stream);
  onTestFinished(async () => {
    await writer.close();
    await removeTopics([...writer.topics.values(), topic]);
  });
  return { stream, writer, topic };
}

const createTopic = (topic: string) => makeTopics(inject("brokers"), [{ topic, numPartitions: 1 }]);

function follow(stream: string) {
  const ids: unknown[] = [];
  const consumer = createConsumer({
    ...{ kafka: { brokers: inject("brokers") }, stream, group: "test", store: sqliteStore(temporaryFile()) },
    values: "decoded",
    logger: { info: () => undefined, warn: () => undefined },
  }).register(TABLE, (event) => ids.push(event.key?.id));
  const ended = consumer.run();
  onTestFinished(() => consumer.stop());
  return { consumer, ended, ids };
}

test("waits for a schema, also for its topic, and goes on when it is there", async () => {
  const { stream, writer, topic } = await open();
  await writer.publish(TABLE, [{ insert: { id: "1" } }]);
  const { consumer, ids } = follow(stream);
  await waitFor(() => consumer.position().state === "catching up", { what: "an event that waits" });
  await createTopic(topic);
  await writer.publish(TABLE, [{ insert: { id: "2" } }]);
  expect(ids).toEqual([]);
  await writer.send([{ topic, partition: 0, key: "1", value: SCHEMA }]);
  await waitFor(() => ids.length === 2, { what: "both events" });
  expect(ids).toEqual([1n, 2n]);
});

test("a consumer that waits for a schema stops when asked", async () => {
  const { stream, writer, topic } = await open();
  await createTopic(topic);
  await writer.publish(TABLE, [{ insert: { id: "1" } }]);
  const { consumer, ended, ids } = follow(stream);
  await waitFor(() => consumer.position().state === "catching up", { what: "an event that waits" });
  await consumer.stop();
  await ended;
  expect([ids, consumer.position().sequence]).toEqual([[], 0]);
});

test("a schema that does not come is named", async () => {
  const { writer, topic } = await open();
  await createTopic(topic);
  await writer.send([{ topic, partition: 0, key: "1", value: SCHEMA }]);
  const [message] = writer.encode(TABLE, [{ insert: { id: "1" } }]);
  const event = { ...parseEnvelope(message!.value), schema: 7 } as ReturnType<typeof parseEnvelope>;
  const reader = await KafkaLogReader.connect({ clientId: "test", brokers: inject("brokers") });
  onTestFinished(() => reader.close());
  const logger = { info: () => undefined, warn: () => undefined };
  const patience = { signal: new AbortController().signal, logger };
  const schemas = new SchemaReader(new EventDecoder(null, []), reader, topic, patience, 1_000);
  await expect(schemas.learnOf(event)).rejects.toMatchObject({
    code: "SCHEMA_UNKNOWN",
    message: `An event of ${TABLE} names schema 7, which topic ${topic} does not hold.`,
  });
});
