// Rows one behind the other in a temporary file that has no name: whatever ends the process leaves nothing on disk.
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AfterimageError, messageOf } from "../errors.ts";

export interface LoggedRow {
  /** Digest of the row's key. */
  readonly key: Buffer;
  /** Null for a deleted one. */
  readonly row: string | null;
  /** The shape that `row` was written in. */
  readonly schema: number;
  readonly partition: number;
  readonly offset: bigint;
  readonly sequence: number;
}

const SEQUENCE_AT = 20;
const KEY_AT = 28;
const HEADER_BYTES = KEY_AT + 16;
const NO_ROW = 0xffff_ffff;
const ROWS_A_MARK = 1024;
const BUFFER_BYTES = 1024 * 1024;

export class RowLog {
  readonly #file: number;
  /** What comes next, not written yet; it begins at `#written`. */
  #waiting = Buffer.allocUnsafe(BUFFER_BYTES);
  #filled = 0;
  #written = 0;
  /** A part of the file as it was read last. */
  #read = Buffer.allocUnsafe(BUFFER_BYTES);
  #readAt = 0;
  #readBytes = 0;
  /** Every so many rows the position of one, and its sequence; both rise. */
  readonly #marks: { readonly sequence: number; readonly position: number }[] = [];
  #unmarked = 0;

  /** Throws VERIFY_DISK, as every step does that writes or reads. */
  constructor() {
    this.#file = onDisk(() => {
      const folder = mkdtempSync(join(tmpdir(), "afterimage-verify-"));
      try {
        return openSync(join(folder, "rows"), "wx+", 0o600);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  }

  close(): void {
    closeSync(this.#file);
  }

  /** Of the next row. */
  get end(): number {
    return this.#written + this.#filled;
  }

  /** Returns its position. Sequences may not fall. */
  append({ key, row, schema, partition, offset, sequence }: LoggedRow): number {
    const position = this.end;
    if (this.#unmarked-- === 0) {
      this.#marks.push({ sequence, position });
      this.#unmarked = ROWS_A_MARK;
    }
    const most = HEADER_BYTES + (row?.length ?? 0) * 3;
    if (this.#filled + most > this.#waiting.length) {
      this.#flush();
      if (most > this.#waiting.length) {
        this.#waiting = Buffer.allocUnsafe(most);
      }
    }
    const to = this.#waiting;
    const at = this.#filled;
    const bytes = row === null ? 0 : to.write(row, at + HEADER_BYTES, "utf8");
    to.writeUInt32LE(row === null ? NO_ROW : bytes, at);
    to.writeUInt32LE(schema, at + 4);
    to.writeUInt32LE(partition, at + 8);
    to.writeBigInt64LE(offset, at + 12);
    to.writeDoubleLE(sequence, at + SEQUENCE_AT);
    to.set(key, at + KEY_AT);
    this.#filled = at + HEADER_BYTES + bytes;
    return position;
  }

  /** Cheapest with rising positions. */
  at(position: number): LoggedRow {
    const { at, text, end, isRow } = this.#find(position);
    const from = this.#read;
    return {
      key: Buffer.from(from.subarray(at + KEY_AT, text)),
      row: isRow ? from.toString("utf8", text, end) : null,
      schema: from.readUInt32LE(at + 4),
      partition: from.readUInt32LE(at + 8),
      offset: from.readBigInt64LE(at + 12),
      sequence: from.readDoubleLE(at + SEQUENCE_AT),
    };
  }

  /** The position of the first row that is not below this sequence; the end when there is none. */
  positionOf(sequence: number): number {
    const after = this.#marks.findIndex((mark) => mark.sequence >= sequence);
    const mark = this.#marks.at(after < 0 ? -1 : Math.max(0, after - 1));
    let position = mark?.position ?? this.end;
    while (position < this.end) {
      const { at, end } = this.#find(position);
      if (this.#read.readDoubleLE(at + SEQUENCE_AT) >= sequence) {
        break;
      }
      position += end - at;
    }
    return position;
  }

  /** Brings a row into `#read`, and says where it stands there. */
  #find(position: number): { at: number; text: number; end: number; isRow: boolean } {
    this.#flush();
    this.#load(position, HEADER_BYTES);
    const length = this.#read.readUInt32LE(position - this.#readAt);
    const bytes = HEADER_BYTES + (length === NO_ROW ? 0 : length);
    this.#load(position, bytes);
    const at = position - this.#readAt;
    return { at, text: at + HEADER_BYTES, end: at + bytes, isRow: length !== NO_ROW };
  }

  #load(position: number, bytes: number): void {
    if (position >= this.#readAt && position + bytes <= this.#readAt + this.#readBytes) {
      return;
    }
    if (bytes > this.#read.length) {
      this.#read = Buffer.allocUnsafe(bytes);
    }
    this.#readAt = position;
    this.#readBytes = 0;
    while (this.#readBytes < bytes) {
      const [read, at] = [this.#read, this.#readBytes];
      const more = onDisk(() => readSync(this.#file, read, at, read.length - at, position + at));
      if (more === 0) {
        throw diskFailed("it is shorter than what was written to it");
      }
      this.#readBytes += more;
    }
  }

  #flush(): void {
    for (let from = 0; from < this.#filled; ) {
      const at = from;
      from += onDisk(() => writeSync(this.#file, this.#waiting, at, this.#filled - at, this.#written + at));
    }
    this.#written += this.#filled;
    this.#filled = 0;
  }
}

function onDisk<T>(step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw diskFailed(messageOf(error), error);
  }
}

function diskFailed(why: string, cause?: unknown): AfterimageError {
  return new AfterimageError(
    "VERIFY_DISK",
    `The temporary file of folded rows, in ${tmpdir()}, can't be used: ${why}.`,
    "Make room there, or name a larger folder in TMPDIR; --tables compares some tables at a time.",
    { cause },
  );
}
