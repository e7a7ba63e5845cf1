// The simulated broker proves something only where it answers as the real one does: the same scripts, the same outcomes.
import { expect } from "vitest";
import { unique } from "../../../dev/servers/database.ts";
import { kafkaTest as test } from "../../support/kafka-fixture.ts";
import { play, playExpiry } from "./script.ts";
import { playSimulated } from "./simulated-stage.ts";

/** Requests of one script. */
const LENGTH = 60;

test.for(Array.from({ length: 40 }, (_, place) => place + 1))("script %i", async (seed, { connection, newTopic }) => {
  const topic = await newTopic({ partitions: 2 });
  const real = await play({ connection, topic, transactionalId: unique("tx") }, seed, LENGTH);
  expect(real.length).toBeGreaterThan(LENGTH);
  expect(await playSimulated((stage) => play(stage, seed, LENGTH), seed)).toEqual(real);
});

test("a transaction that its coordinator gives up", async ({ connection, newTopic }) => {
  const topic = await newTopic({ partitions: 2 });
  const real = await playExpiry({ connection, topic, transactionalId: unique("tx") });
  expect(await playSimulated(playExpiry, 1)).toEqual(real);
});
