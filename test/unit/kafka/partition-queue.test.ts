// Cutting one partition's records into batches, and the sequence numbers the broker knows them by.
import { expect, test } from "vitest";
import { PartitionQueue, sequenceAfter } from "../../../src/kafka/partition-queue.ts";
import type { ProduceBatch } from "../../../src/kafka/protocol/produce.ts";

const identity = { producerId: 7n, producerEpoch: 3 };
const place = { topic: "t", partition: 1 };

function encoded(batch: ProduceBatch): Buffer {
  const buffer = Buffer.alloc(batch.bytes);
  batch.write(buffer, 0);
  return buffer;
}

const baseSequence = (batch: ProduceBatch) => encoded(batch).readInt32BE(53);
const count = (batch: ProduceBatch) => encoded(batch).readInt32BE(57);
const ten = Array.from({ length: 10 }, (_, i) => ({ key: `k${i}`, value: "v".repeat(100) }));

test("sequence numbers wrap to 0 after 2^31 - 1", () => {
  expect(sequenceAfter(0, 5)).toBe(5);
  expect(sequenceAfter(0x7fff_ffff, 1)).toBe(0);
  expect(sequenceAfter(0x7fff_fffe, 1)).toBe(0x7fff_ffff);
  expect(sequenceAfter(0x7fff_fffe, 10)).toBe(8);
  const queue = new PartitionQueue(place, ten, 0x7fff_fffd, 1000);
  expect(baseSequence(queue.batch(450, identity))).toBe(0x7fff_fffd);
  queue.accepted(100n); // three records
  expect(queue.sequence).toBe(0);
  expect(baseSequence(queue.batch(450, identity))).toBe(0);
});

test("batches follow one another within the limit, and the offsets span them all", () => {
  const queue = new PartitionQueue(place, ten, 0, 1000);
  const seen: number[][] = [];
  for (let offset = 50n; !queue.done; offset += 1000n) {
    const batch = queue.batch(450, identity);
    expect(batch.bytes).toBeLessThanOrEqual(450);
    seen.push([baseSequence(batch), count(batch)]);
    queue.accepted(offset);
  }
  expect(seen).toEqual([
    [0, 3],
    [3, 3],
    [6, 3],
    [9, 1],
  ]);
  expect(queue.offsets).toEqual({ baseOffset: 50n, lastOffset: 3050n });
  expect(queue.sequence).toBe(10);
});

test("an unanswered batch is sent again as it was, whatever the limit has become", () => {
  const queue = new PartitionQueue(place, ten, 0, 1000);
  expect(count(queue.batch(900_000, identity))).toBe(10);
  expect(count(queue.batch(450, identity))).toBe(10);
  queue.recut();
  expect(count(queue.batch(450, identity))).toBe(3);
});

test("a single record goes alone when it is above the limit", () => {
  const queue = new PartitionQueue(place, ten, 0, 1000);
  expect(count(queue.batch(1, identity))).toBe(1);
  expect(queue.batchLength).toBe(1);
});
