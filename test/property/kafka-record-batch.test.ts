// Any records, cut anywhere: encoded in exactly the bytes announced, and read back equal by kafkajs's own decoder
// and by ours.
import { createRequire } from "node:module";
import fc from "fast-check";
import { expect, test } from "vitest";
import { MeasuredRecords } from "../../src/kafka/record-batch.ts";
import { readCommitted } from "../../src/kafka/record-batch-reader.ts";

const require = createRequire(import.meta.url);
const Decoder = require("kafkajs/src/protocol/decoder.js");
const decodeRecordBatch = require("kafkajs/src/protocol/recordBatch/v0/decoder.js");

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 200 }),
  // Lone surrogates become U+FFFD, in the size as in the bytes.
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 100 }).map((units) => String.fromCharCode(...units)),
  fc.nat({ max: 20_000 }).map((length) => "é".repeat(length)),
);
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const record = fc.record({ key: fc.oneof(fc.constant(null), text, bytes), value: fc.oneof(text, bytes) });

const asBuffer = (content: string | Buffer | null) => (typeof content === "string" ? Buffer.from(content) : content);

test("a record batch takes the bytes announced and is read back equal", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(record, { minLength: 1, maxLength: 150 }),
      fc.integer({ min: 1, max: 60_000 }),
      fc.integer({ min: 0, max: 0x7fff_ffff }),
      async (records, limit, baseSequence) => {
        const measured = new MeasuredRecords(records);
        const read: [Buffer | null, Buffer | null][] = [];
        const readByKafkajs: [Buffer | null, Buffer | null][] = [];
        for (let from = 0; from < measured.length; ) {
          const { to, bytes: size } = measured.fit(from, limit);
          expect(size <= limit || to === from + 1).toBe(true);
          const guarded = Buffer.alloc(size + 16, 0x5a);
          const owner = { producerId: 0x7fff_ffff_ffffn, producerEpoch: 32_767, baseSequence };
          expect(measured.encode(guarded, 8, from, to, owner, 1_767_225_600_123)).toBe(size + 8);
          expect(guarded.subarray(0, 8)).toEqual(Buffer.alloc(8, 0x5a));
          expect(guarded.subarray(size + 8)).toEqual(Buffer.alloc(8, 0x5a));
          const batch = guarded.subarray(8, size + 8);
          const ours = readCommitted(batch, 0n, [], { topic: "t", partition: 0 });
          expect(ours.nextOffset).toBe(BigInt(to - from));
          read.push(...ours.records.map(({ key, value }): [Buffer | null, Buffer | null] => [key, value]));
          const theirs = await decodeRecordBatch(new Decoder(batch));
          expect(theirs).toMatchObject({ inTransaction: true, isControlBatch: false, producerEpoch: 32_767 });
          for (const { key, value } of theirs.records) {
            readByKafkajs.push([key, value]);
          }
          from = to;
        }
        const expected = records.map(({ key, value }) => [asBuffer(key), asBuffer(value)]);
        expect(read).toEqual(expected);
        expect(readByKafkajs).toEqual(expected);
      },
    ),
    { numRuns: 60 },
  );
});
