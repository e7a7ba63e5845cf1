// Writes the primitive types of the Kafka protocol into one growing buffer.
// https://kafka.apache.org/protocol.html#protocol_types

export class RequestWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(capacity: number) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  /** What was written, its first four bytes set to the size of the rest. */
  finish(): Buffer {
    this.#buffer.writeInt32BE(this.#length - 4, 0);
    return this.#buffer.subarray(0, this.#length);
  }

  /** Gives room for exactly `bytes` to `write`, which gets the buffer and the place where it begins. */
  fill(bytes: number, write: (buffer: Buffer, at: number) => void): void {
    write(this.#reserve(bytes), this.#length);
    this.#length += bytes;
  }

  boolean(value: boolean): void {
    this.int8(value ? 1 : 0);
  }

  int8(value: number): void {
    this.#length = this.#reserve(1).writeInt8(value, this.#length);
  }

  int16(value: number): void {
    this.#length = this.#reserve(2).writeInt16BE(value, this.#length);
  }

  int32(value: number): void {
    this.#length = this.#reserve(4).writeInt32BE(value, this.#length);
  }

  int64(value: bigint): void {
    this.#length = this.#reserve(8).writeBigInt64BE(value, this.#length);
  }

  unsignedVarint(value: number): void {
    const buffer = this.#reserve(5);
    let rest = value >>> 0;
    while (rest > 0x7f) {
      buffer[this.#length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    buffer[this.#length++] = rest;
  }

  string(value: string | null): void {
    if (value === null) {
      this.int16(-1);
      return;
    }
    const bytes = Buffer.byteLength(value);
    this.int16(bytes);
    this.#text(value, bytes);
  }

  compactString(value: string | null): void {
    if (value === null) {
      this.unsignedVarint(0);
      return;
    }
    const bytes = Buffer.byteLength(value);
    this.unsignedVarint(bytes + 1);
    this.#text(value, bytes);
  }

  array<T>(items: readonly T[], write: (item: T) => void): void {
    this.int32(items.length);
    items.forEach(write);
  }

  compactArray<T>(items: readonly T[] | null, write: (item: T) => void): void {
    this.unsignedVarint(items === null ? 0 : items.length + 1);
    items?.forEach(write);
  }

  noTags(): void {
    this.int8(0);
  }

  #text(value: string, bytes: number): void {
    this.#reserve(bytes).write(value, this.#length, bytes, "utf8");
    this.#length += bytes;
  }

  #reserve(bytes: number): Buffer {
    const needed = this.#length + bytes;
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
      this.#buffer.copy(larger, 0, 0, this.#length);
      this.#buffer = larger;
    }
    return this.#buffer;
  }
}
