// Reads Postgres's wire primitives from one message; every read is bounds-checked, so that a hostile or cut-off
// message is an error with a code and never a read beyond its end.
import { isUtf8 } from "node:buffer";
import { AfterimageError } from "../errors.ts";
import { undecodableValue } from "../event/column-value.ts";

// Node's own slicing method behind `toString`, without its argument handling: called once for every column.
type SlicedBuffer = Buffer & { utf8Slice(start: number, end: number): string };

export class ByteReader {
  readonly #bytes: SlicedBuffer;
  #offset = 0;
  #undecodable: AfterimageError | null = null;

  constructor(bytes: Buffer) {
    this.#bytes = bytes as SlicedBuffer;
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  uint8(): number {
    return this.#bytes[this.#take(1)]!;
  }

  uint16(): number {
    return this.#bytes.readUInt16BE(this.#take(2));
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#take(4));
  }

  /** OIDs, xids and counts are unsigned: a signed read would turn large ones negative. */
  uint32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  int64(): bigint {
    return this.#bytes.readBigInt64BE(this.#take(8));
  }

  uint64(): bigint {
    return this.#bytes.readBigUInt64BE(this.#take(8));
  }

  /** A null-terminated string. */
  cString(): string {
    const end = this.#bytes.indexOf(0, this.#offset);
    if (end < 0) {
      throw malformed("a string has no end");
    }
    const text = this.text(end - this.#offset);
    this.#offset = end + 1;
    return text;
  }

  /** TEXT_UNDECODABLE when `value` has met such bytes; null otherwise. */
  get undecodable(): AfterimageError | null {
    return this.#undecodable;
  }

  /** `length` bytes of UTF-8. Throws TEXT_UNDECODABLE rather than replace bytes with U+FFFD. */
  text(length: number): string {
    return this.#text(length) ?? raise(undecodable());
  }

  /** The same of a row's value; bytes that are not UTF-8 give what `isUndecodable` knows. */
  value(length: number): string {
    const start = this.#offset;
    const text = this.#text(length);
    if (text !== null) {
      return text;
    }
    this.#undecodable = undecodable();
    return undecodableValue(this.#bytes.subarray(start, start + length));
  }

  #text(length: number): string | null {
    const start = this.#take(length);
    const text = this.#bytes.utf8Slice(start, start + length);
    // The replacement character is either in the data or stands for an invalid byte; only then look closer.
    return text.includes("\ufffd") && !isUtf8(this.#bytes.subarray(start, start + length)) ? null : text;
  }

  /** A copy of `length` bytes: the driver reuses the buffer behind a message. */
  bytes(length: number): Buffer {
    const start = this.#take(length);
    return Buffer.from(this.#bytes.subarray(start, start + length));
  }

  /** Fails unless everything was read. */
  end(): void {
    if (this.remaining !== 0) {
      throw malformed(`${this.remaining} bytes are left over`);
    }
  }

  #take(length: number): number {
    const start = this.#offset;
    if (length < 0 || length > this.#bytes.length - start) {
      throw malformed(`${length} bytes are announced, ${this.#bytes.length - start} are there`);
    }
    this.#offset = start + length;
    return start;
  }
}

function undecodable(): AfterimageError {
  return new AfterimageError(
    "TEXT_UNDECODABLE",
    "Postgres sent bytes that are not UTF-8; the database's encoding is probably SQL_ASCII.",
    'Correct the row\'s bytes, so that it does not come again (SQL_ASCII databases accept any), or exclude the table with "!schema.table" and start the stream anew.',
  );
}

function raise(error: Error): never {
  throw error;
}

export function malformed(why: string): AfterimageError {
  return new AfterimageError(
    "PGOUTPUT_MALFORMED",
    `A message of the replication stream can't be read: ${why}.`,
    "Check that the connection goes to PostgreSQL 15-18 itself; if it does, report this with the server's version.",
  );
}
