// Writes a record batch (format 2) in one pass into a buffer of exactly the right size.
// https://kafka.apache.org/documentation/#recordbatch
import { crc32c } from "./crc32c.ts";

/** A record to write. Strings are written as UTF-8, straight into the request. */
export interface ProducerRecord {
  readonly key: string | Buffer | null;
  readonly value: string | Buffer;
}

export interface BatchOwner {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  /** Of the batch's first record in its partition. */
  readonly baseSequence: number;
}

/** Where a batch ends (exclusive index) and the bytes it takes, header included. */
export interface BatchExtent {
  readonly to: number;
  readonly bytes: number;
}

const HEADER_BYTES = 61;
const CRC_FROM = 21;
const MAGIC = 2;
const TRANSACTIONAL = 0x10;
const NO_LEADER_EPOCH = -1;

/** Records of one partition together with the byte lengths of their keys and values. */
export class MeasuredRecords {
  readonly records: readonly ProducerRecord[];
  /** -1 for a null key. */
  readonly #keyBytes: Int32Array;
  readonly #valueBytes: Int32Array;

  constructor(records: readonly ProducerRecord[]) {
    const count = records.length;
    this.records = records;
    this.#keyBytes = new Int32Array(count);
    this.#valueBytes = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      const { key, value } = records[i]!;
      this.#keyBytes[i] = key === null ? -1 : byteLength(key);
      this.#valueBytes[i] = byteLength(value);
    }
  }

  get length(): number {
    return this.records.length;
  }

  /** The longest batch from `from` on that stays within `limit` bytes; always at least one record. */
  fit(from: number, limit: number): BatchExtent {
    let bytes = HEADER_BYTES;
    let to = from;
    while (to < this.records.length) {
      const body = this.#bodyBytes(to, to - from);
      const record = varintBytes(body) + body;
      if (to > from && bytes + record > limit) {
        break;
      }
      bytes += record;
      to++;
    }
    return { to, bytes };
  }

  /** Writes the records `from … to` (exclusive) at `at`; returns where the batch ends. `timestamp` in ms. */
  encode(buffer: Buffer, at: number, from: number, to: number, owner: BatchOwner, timestamp: number): number {
    const end = this.#encodeRecords(buffer, at + HEADER_BYTES, from, to);
    const count = to - from;
    const time = BigInt(timestamp);
    buffer.writeBigInt64BE(0n, at);
    buffer.writeInt32BE(end - at - 12, at + 8);
    buffer.writeInt32BE(NO_LEADER_EPOCH, at + 12);
    buffer[at + 16] = MAGIC;
    buffer.writeInt16BE(TRANSACTIONAL, at + 21);
    buffer.writeInt32BE(count - 1, at + 23);
    buffer.writeBigInt64BE(time, at + 27);
    buffer.writeBigInt64BE(time, at + 35);
    buffer.writeBigInt64BE(owner.producerId, at + 43);
    buffer.writeInt16BE(owner.producerEpoch, at + 51);
    buffer.writeInt32BE(owner.baseSequence, at + 53);
    buffer.writeInt32BE(count, at + 57);
    buffer.writeUInt32BE(crc32c(buffer, at + CRC_FROM, end), at + 17);
    return end;
  }

  #encodeRecords(buffer: Buffer, start: number, from: number, to: number): number {
    let at = start;
    for (let i = from; i < to; i++) {
      const { key, value } = this.records[i]!;
      const offsetDelta = i - from;
      at = writeVarint(buffer, at, this.#bodyBytes(i, offsetDelta));
      buffer[at++] = 0; // attributes
      buffer[at++] = 0; // timestamp delta
      at = writeVarint(buffer, at, offsetDelta);
      at = writeBytes(buffer, at, key, this.#keyBytes[i]!);
      at = writeBytes(buffer, at, value, this.#valueBytes[i]!);
      buffer[at++] = 0; // number of headers
    }
    return at;
  }

  #bodyBytes(index: number, offsetDelta: number): number {
    const key = this.#keyBytes[index]!;
    const value = this.#valueBytes[index]!;
    return 3 + varintBytes(offsetDelta) + varintBytes(key) + Math.max(key, 0) + varintBytes(value) + value;
  }
}

function byteLength(content: string | Buffer): number {
  return typeof content === "string" ? Buffer.byteLength(content, "utf8") : content.length;
}

function writeBytes(buffer: Buffer, at: number, content: string | Buffer | null, length: number): number {
  const start = writeVarint(buffer, at, length);
  if (content === null) {
    return start;
  }
  if (typeof content === "string") {
    buffer.write(content, start, length, "utf8");
  } else {
    buffer.set(content, start);
  }
  return start + length;
}

const zigzag = (value: number): number => ((value << 1) ^ (value >> 31)) >>> 0;

function varintBytes(value: number): number {
  const encoded = zigzag(value);
  return encoded < 0x80 ? 1 : encoded < 0x4000 ? 2 : encoded < 0x20_0000 ? 3 : encoded < 0x1000_0000 ? 4 : 5;
}

function writeVarint(buffer: Buffer, start: number, value: number): number {
  let at = start;
  let rest = zigzag(value);
  while (rest > 0x7f) {
    buffer[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  buffer[at++] = rest;
  return at;
}
