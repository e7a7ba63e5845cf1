// The bytes of requests as they go over the wire: a change here is a change of what brokers get.
import { expect, test } from "vitest";
import { findTransactionCoordinator, metadata } from "../../src/kafka/protocol/metadata.ts";
import { produce } from "../../src/kafka/protocol/produce.ts";
import { ReplyReader } from "../../src/kafka/protocol/reply-reader.ts";
import { frame } from "../../src/kafka/protocol/request.ts";
import {
  addPartitionsToTransaction,
  endTransaction,
  initProducerId,
  NO_IDENTITY,
} from "../../src/kafka/protocol/transaction.ts";
import { MeasuredRecords } from "../../src/kafka/record-batch.ts";

const identity = { producerId: 258n, producerEpoch: 5 };
const hex = (bytes: Buffer) => bytes.toString("hex");

/** The frame's size is checked here, so that the vectors show only what follows it. */
function body(bytes: Buffer): string {
  expect(bytes.readInt32BE(0)).toBe(bytes.length - 4);
  return hex(bytes.subarray(4));
}

test("InitProducerId 4: flexible, so the header ends with a tag byte", () => {
  expect(body(frame(initProducerId("tx", 60_000, NO_IDENTITY), 7, "me"))).toBe(
    // key, version and correlation id; client id; tags; transactional id; timeout; producer id; epoch; tags
    "0016000400000007" + "00026d65" + "00" + "037478" + "0000ea60" + "ffffffffffffffff" + "ffff" + "00",
  );
});

test("AddPartitionsToTxn 2", () => {
  const partitions = [
    { topic: "a", partition: 1 },
    { topic: "b", partition: 0 },
    { topic: "a", partition: 2 },
  ];
  expect(body(frame(addPartitionsToTransaction("tx", identity, partitions), 8, "me"))).toBe(
    "0018000200000008" +
      "00026d65" +
      "00027478" +
      "0000000000000102" +
      "0005" +
      "00000002" +
      "000161" +
      "000000020000000100000002" +
      "000162" +
      "0000000100000000",
  );
});

test("EndTxn 2, FindCoordinator 2, Metadata 12", () => {
  expect(body(frame(endTransaction("tx", identity, true), 9, "me"))).toBe(
    "001a000200000009" + "00026d65" + "00027478" + "0000000000000102" + "0005" + "01",
  );
  expect(body(frame(findTransactionCoordinator("tx"), 10, "me"))).toBe(
    "000a00020000000a" + "00026d65" + "00027478" + "01",
  );
  expect(body(frame(metadata(["é"]), 11, "me"))).toBe(
    `0003000c0000000b${"00026d65"}00${"02"}${"00".repeat(16)}03c3a900${"00"}${"00"}00`,
  );
  expect(body(frame(metadata(null), 11, "me"))).toBe(`0003000c0000000b${"00026d65"}00${"00"}${"00"}${"00"}00`);
});

test("Produce 8 with one transactional record batch of two records", () => {
  const records = new MeasuredRecords([
    { key: "k", value: "é" },
    { key: null, value: Buffer.from([1, 2]) },
  ]);
  const { bytes } = records.fit(0, 1000);
  const request = produce("tx", 15_000, [
    {
      topic: "t",
      partition: 3,
      bytes,
      write: (buffer, at) => records.encode(buffer, at, 0, 2, { ...identity, baseSequence: 40 }, 1_700_000_000_000),
    },
  ]);
  expect(body(frame(request, 12, "me"))).toBe(
    "000000080000000c" +
      "00026d65" +
      "00027478" + // transactional id
      "ffff" + // acks
      "00003a98" + // timeout
      "00000001" +
      "000174" +
      "00000001" +
      "00000003" + // partition
      "00000050" + // bytes of the batch
      "0000000000000000" + // base offset
      "00000044" + // bytes that follow
      "ffffffff" + // leader epoch
      "02" + // magic
      "cdf9b981" + // CRC-32C
      "0010" + // attributes: transactional
      "00000001" + // last offset delta
      "0000018bcfe56800" +
      "0000018bcfe56800" +
      "0000000000000102" + // producer id
      "0005" + // producer epoch
      "00000028" + // base sequence
      "00000002" + // records
      "12" +
      "00" +
      "00" +
      "00" +
      "026b" +
      "04c3a9" +
      "00" +
      "10" +
      "00" +
      "00" +
      "02" +
      "01" +
      "040102" +
      "00",
  );
});

test("a reply of Metadata 12, with a tagged field that this client does not know", () => {
  const reply = [
    "00000000", // throttle time
    "02", // one broker
    ...["00000001", "0a6c6f63616c686f7374", "00002384", "00", "01050161"], // 1, localhost, 9092, no rack, tag 5: "a"
    "04636964", // cluster id
    "00000001", // controller
    "03", // two topics
    ...["0003", "026e", "00".repeat(16), "00", "01", "80000000", "00"], // error 3, "n", no partitions
    ...["0000", "0274", "edd692d911b34024a9cec6825ae9eb00", "00"], // error 0, "t", its id, not internal
    "02", // one partition
    ...["0000", "00000000", "00000001", "00000000"], // error, partition, leader, leader epoch
    ...["0200000001", "0200000001", "01", "00"], // replicas, in-sync replicas, none offline, tags
    ...["80000000", "00", "00"], // authorized operations, tags
  ].join("");
  expect(metadata(["n", "t"]).read(new ReplyReader(Buffer.from(reply, "hex")))).toEqual({
    brokers: [{ nodeId: 1, host: "localhost", port: 9092 }],
    controllerId: 1,
    topics: [
      { error: 3, name: "n", id: "AAAAAAAAAAAAAAAAAAAAAA", partitions: [], operations: -0x8000_0000 },
      {
        error: 0,
        name: "t",
        id: "7daS2RGzQCSpzsaCWunrAA",
        partitions: [{ error: 0, partition: 0, leader: 1, replicas: 1 }],
        operations: -0x8000_0000,
      },
    ],
  });
});

test("a reply that is too short is refused instead of read as zeros", () => {
  expect(() => endTransaction("tx", identity, true).read(new ReplyReader(Buffer.alloc(5)))).toThrow(RangeError);
});
