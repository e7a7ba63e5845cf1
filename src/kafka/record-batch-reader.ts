// Reads the record batches (format 2) of a fetch reply, leaving out what a read_committed reader must not see.
// https://kafka.apache.org/documentation/#recordbatch and #controlbatch
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { AfterimageError } from "../errors.ts";
import { crc32c } from "./crc32c.ts";

export interface CommittedRecord {
  readonly partition: number;
  readonly offset: bigint;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  /** Milliseconds since 1970; when the broker appended it, on topics with LogAppendTime. */
  readonly timestamp: bigint;
}

export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: bigint;
}

const HEADER_BYTES = 61;
const COMPRESSION = 0x07;
const LOG_APPEND_TIME = 0x08;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;
const ABORT_MARKER = 0;

/**
 * Reads all whole batches of `bytes`. Returns the committed data records at or above `from`, and the offset after
 * the last batch, which also passes control records and aborted ones.
 */
export function readCommitted(
  bytes: Buffer,
  from: bigint,
  aborted: readonly AbortedTransaction[],
  place: { readonly topic: string; readonly partition: number },
): { records: CommittedRecord[]; nextOffset: bigint } {
  const records: CommittedRecord[] = [];
  const waiting = [...aborted].sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1));
  const aborting = new Set<bigint>();
  let nextOffset = from;
  let at = 0;
  // The broker may cut the last batch short.
  while (at + HEADER_BYTES <= bytes.length && at + 12 + bytes.readInt32BE(at + 8) <= bytes.length) {
    const end = at + 12 + bytes.readInt32BE(at + 8);
    const baseOffset = bytes.readBigInt64BE(at);
    const lastOffset = baseOffset + BigInt(bytes.readInt32BE(at + 23));
    const attributes = bytes.readInt16BE(at + 21);
    const producerId = bytes.readBigInt64BE(at + 43);
    if (bytes[at + 16] !== 2 || crc32c(bytes, at + 21, end) !== bytes.readUInt32BE(at + 17)) {
      throw corrupt(place, baseOffset);
    }
    while (waiting.length > 0 && waiting[0]!.firstOffset <= lastOffset) {
      aborting.add(waiting.shift()!.producerId);
    }
    if ((attributes & CONTROL) !== 0) {
      if (controlType(bytes, at + HEADER_BYTES) === ABORT_MARKER) {
        aborting.delete(producerId);
      }
    } else if ((attributes & TRANSACTIONAL) === 0 || !aborting.has(producerId)) {
      readRecords(bytes, at, end, attributes, from, place, records);
    }
    if (lastOffset >= nextOffset) {
      nextOffset = lastOffset + 1n;
    }
    at = end;
  }
  return { records, nextOffset };
}

function readRecords(
  bytes: Buffer,
  batch: number,
  end: number,
  attributes: number,
  from: bigint,
  place: { readonly topic: string; readonly partition: number },
  records: CommittedRecord[],
): void {
  const baseOffset = bytes.readBigInt64BE(batch);
  const appendTime = (attributes & LOG_APPEND_TIME) !== 0;
  const baseTimestamp = bytes.readBigInt64BE(batch + (appendTime ? 35 : 27));
  const cursor = new VarintCursor(
    decompress(bytes.subarray(batch + HEADER_BYTES, end), attributes & COMPRESSION, place.topic),
  );
  for (let left = bytes.readInt32BE(batch + 57); left > 0; left--) {
    const next = cursor.varint() + cursor.at;
    cursor.at++; // attributes
    const timestampDelta = cursor.varlong();
    const offset = baseOffset + BigInt(cursor.varint());
    const key = cursor.bytes();
    const value = cursor.bytes();
    if (offset >= from) {
      const timestamp = appendTime || timestampDelta === 0 ? baseTimestamp : baseTimestamp + BigInt(timestampDelta);
      records.push({ partition: place.partition, offset, key, value, timestamp });
    }
    cursor.at = next; // passes the headers
  }
}

/** The key of a control record is its version and type. */
function controlType(bytes: Buffer, start: number): number {
  const cursor = new VarintCursor(bytes);
  cursor.at = start;
  cursor.varint();
  cursor.at++;
  cursor.varlong();
  cursor.varint();
  return cursor.bytes()?.readInt16BE(2) ?? -1;
}

function decompress(bytes: Buffer, codec: number, topic: string): Buffer {
  switch (codec) {
    case 0:
      return bytes;
    case 1:
      return gunzipSync(bytes);
    case 4:
      return zstdDecompressSync(bytes);
    default:
      throw new AfterimageError(
        "KAFKA_COMPRESSION_UNSUPPORTED",
        `Topic ${topic} holds records compressed with ${codec === 2 ? "snappy" : codec === 3 ? "lz4" : `codec ${codec}`}.`,
        "Set the topic's compression.type to producer, gzip, zstd or uncompressed, then rebuild the stream.",
      );
  }
}

function corrupt(place: { readonly topic: string; readonly partition: number }, offset: bigint): AfterimageError {
  return new AfterimageError(
    "KAFKA_RECORD_CORRUPT",
    `The record batch at offset ${offset} of ${place.topic}/${place.partition} does not match its checksum.`,
    "Check the broker's disks and the network; read again.",
  );
}

class VarintCursor {
  at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  varint(): number {
    const bytes = this.#bytes;
    let byte = bytes[this.at++]!;
    let value = byte & 0x7f;
    for (let shift = 7; byte > 0x7f; shift += 7) {
      byte = bytes[this.at++]!;
      value |= (byte & 0x7f) << shift;
    }
    return (value >>> 1) ^ -(value & 1);
  }

  /** Timestamp deltas: at most 53 bits are meaningful, more would be 285,000 years. */
  varlong(): number {
    const bytes = this.#bytes;
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = bytes[this.at++]!;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) {
        return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
      }
      factor *= 128;
    }
  }

  /** Not copied; null when its length is -1. */
  bytes(): Buffer | null {
    const length = this.varint();
    if (length < 0) {
      return null;
    }
    const start = this.at;
    this.at += length;
    return this.#bytes.subarray(start, this.at);
  }
}
