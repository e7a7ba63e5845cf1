// Reads the primitive types of the Kafka protocol from a reply.
// https://kafka.apache.org/protocol.html#protocol_types

export class ReplyReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  boolean(): boolean {
    return this.int8() !== 0;
  }

  int8(): number {
    return this.#buffer.readInt8(this.#advance(1));
  }

  int16(): number {
    return this.#buffer.readInt16BE(this.#advance(2));
  }

  int32(): number {
    return this.#buffer.readInt32BE(this.#advance(4));
  }

  int64(): bigint {
    return this.#buffer.readBigInt64BE(this.#advance(8));
  }

  unsignedVarint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#buffer.readUInt8(this.#advance(1));
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        return value >>> 0;
      }
    }
  }

  string(): string | null {
    return this.#text(this.int16());
  }

  compactString(): string | null {
    return this.#text(this.unsignedVarint() - 1);
  }

  /** Raw bytes, not copied; empty for null. */
  bytes(): Buffer {
    const length = Math.max(this.int32(), 0);
    const start = this.#advance(length);
    return this.#buffer.subarray(start, start + length);
  }

  /** 16 bytes as Kafka's tools print a topic id: base64url without padding. */
  uuid(): string {
    const start = this.#advance(16);
    return this.#buffer.toString("base64url", start, start + 16);
  }

  array<T>(read: () => T): T[] {
    return this.#items(this.int32(), read);
  }

  compactArray<T>(read: () => T): T[] {
    return this.#items(this.unsignedVarint() - 1, read);
  }

  /** Tagged fields are additions that this client does not know. */
  skipTags(): void {
    for (let count = this.unsignedVarint(); count > 0; count--) {
      this.unsignedVarint();
      this.#advance(this.unsignedVarint());
    }
  }

  #items<T>(count: number, read: () => T): T[] {
    const items: T[] = [];
    for (let i = 0; i < count; i++) {
      items.push(read());
    }
    return items;
  }

  #text(length: number): string | null {
    if (length < 0) {
      return null;
    }
    const start = this.#advance(length);
    return this.#buffer.toString("utf8", start, start + length);
  }

  #advance(bytes: number): number {
    const start = this.#at;
    this.#at += bytes;
    if (this.#at > this.#buffer.length) {
      throw new RangeError("A reply of the broker is shorter than its format says.");
    }
    return start;
  }
}
