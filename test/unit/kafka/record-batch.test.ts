// The record batch reader: what it leaves out, and what it refuses.
import { expect, test } from "vitest";
import { crc32c } from "../../../src/kafka/crc32c.ts";
import { MeasuredRecords, type ProducerRecord } from "../../../src/kafka/record-batch.ts";
import { readCommitted } from "../../../src/kafka/record-batch-reader.ts";

const place = { topic: "t", partition: 2 };

function batch(records: ProducerRecord[], baseOffset: bigint, producerId = 9n): Buffer {
  const measured = new MeasuredRecords(records);
  const { to, bytes } = measured.fit(0, 900_000);
  const buffer = Buffer.alloc(bytes);
  measured.encode(buffer, 0, 0, to, { producerId, producerEpoch: 0, baseSequence: 0 }, 1_700_000_000_000);
  buffer.writeBigInt64BE(baseOffset, 0); // the broker's part, outside of the checksum
  return buffer;
}

const values = (bytes: Buffer, from: bigint, aborted: { producerId: bigint; firstOffset: bigint }[] = []) => {
  const { records, nextOffset } = readCommitted(bytes, from, aborted, place);
  return { values: records.map(({ offset, value }) => [offset, value?.toString()]), nextOffset };
};

const one = batch([{ key: "a", value: "1" }], 10n);
const two = batch(
  [
    { key: null, value: "2" },
    { key: "b", value: Buffer.from("3") },
  ],
  11n,
);

test("records come with key, value, offset and time", () => {
  expect(readCommitted(Buffer.concat([one, two]), 10n, [], place)).toEqual({
    nextOffset: 13n,
    records: [
      { partition: 2, offset: 10n, key: Buffer.from("a"), value: Buffer.from("1"), timestamp: 1_700_000_000_000n },
      { partition: 2, offset: 11n, key: null, value: Buffer.from("2"), timestamp: 1_700_000_000_000n },
      { partition: 2, offset: 12n, key: Buffer.from("b"), value: Buffer.from("3"), timestamp: 1_700_000_000_000n },
    ],
  });
});

test("what lies below the position, in the same batch, is left out", () => {
  expect(values(Buffer.concat([one, two]), 12n)).toEqual({ values: [[12n, "3"]], nextOffset: 13n });
});

test("a batch that is cut short is left for the next fetch", () => {
  for (const bytes of [1, 60, two.length - 1]) {
    expect(values(Buffer.concat([one, two.subarray(0, bytes)]), 10n)).toEqual({
      values: [[10n, "1"]],
      nextOffset: 11n,
    });
  }
  expect(values(Buffer.alloc(0), 10n)).toEqual({ values: [], nextOffset: 10n });
});

test("an aborted transaction is passed, another producer's records are not", () => {
  const other = batch([{ key: "c", value: "other" }], 13n, 8n);
  const log = Buffer.concat([one, two, other]);
  expect(values(log, 10n, [{ producerId: 9n, firstOffset: 11n }])).toEqual({
    values: [
      [10n, "1"],
      [13n, "other"],
    ],
    nextOffset: 14n,
  });
});

test("a flipped bit is refused by name", () => {
  const bytes = Buffer.from(one);
  bytes[bytes.length - 2]! ^= 1;
  expect(() => readCommitted(bytes, 10n, [], place)).toThrowError(
    expect.objectContaining({ code: "KAFKA_RECORD_CORRUPT", message: expect.stringContaining("offset 10 of t/2") }),
  );
});

test("a codec that Node lacks is refused by name", () => {
  const bytes = batch([{ key: "a", value: "1" }], 10n);
  bytes.writeInt16BE(0x10 | 3, 21);
  expect(() => readCommitted(recheck(bytes), 10n, [], place)).toThrowError(
    expect.objectContaining({ code: "KAFKA_COMPRESSION_UNSUPPORTED", message: expect.stringContaining("lz4") }),
  );
});

function recheck(bytes: Buffer): Buffer {
  bytes.writeUInt32BE(crc32c(bytes, 21), 17);
  return bytes;
}
