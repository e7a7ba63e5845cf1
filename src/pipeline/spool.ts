// Open transactions on disk: a file for each, written while Postgres sends its pieces, read once it commits, removed then
// or when it aborts. Nothing in it outlives the session, since Postgres sends a transaction again from its start. Memory
// is one buffer, whatever the transactions' size.
import { closeSync, mkdirSync, mkdtempSync, openSync, readSync, rmdirSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { AfterimageError, messageOf } from "../errors.ts";
import type { StreamedMessage } from "../pgoutput/streamed.ts";

/** The least that is written and read at once. */
const BLOCK = 256 * 1024;
/** Length of the message and the xid it stands under, four bytes each. */
const HEADER = 8;

interface OpenTransaction {
  readonly file: string;
  /** Subtransactions that were rolled back. */
  readonly aborted: Set<number>;
}

export class Spool {
  readonly #folder: string;
  readonly #session: string;
  readonly #transactions = new Map<number, OpenTransaction>();
  readonly #block = Buffer.allocUnsafeSlow(BLOCK);
  #filled = 0;
  /** Whose piece is being written. */
  #writing: { xid: number; transaction: OpenTransaction; descriptor: number } | null = null;

  private constructor(folder: string, session: string) {
    this.#folder = folder;
    this.#session = session;
  }

  /**
   * Empties what an earlier session left under that name, and makes a folder of its own there: one that was stopped and
   * wakes up finds its files gone, and never writes into those of this one. Only call this while streaming from the
   * slot that `name` stands for. Throws SPOOL_FULL and SPOOL_FAILED, as all methods do.
   */
  static open(folder: string, name: string): Spool {
    const own = join(folder, name);
    return guarded(folder, () => {
      rmSync(own, { recursive: true, force: true });
      // It holds values of rows: nobody else may read it.
      mkdirSync(own, { recursive: true, mode: 0o700 });
      return new Spool(own, mkdtempSync(join(own, "session-")));
    });
  }

  has(xid: number): boolean {
    return this.#transactions.has(xid);
  }

  /** What is appended from here on belongs to the transaction. */
  begin(xid: number): void {
    const known = this.#transactions.get(xid);
    const transaction = known ?? { file: join(this.#session, String(xid)), aborted: new Set() };
    const descriptor = this.#guarded(() => openSync(transaction.file, known === undefined ? "wx" : "a", 0o600));
    this.#transactions.set(xid, transaction);
    this.#writing = { xid, transaction, descriptor };
  }

  append({ xid, type, body }: StreamedMessage): void {
    const size = HEADER + 1 + body.length;
    if (size > BLOCK - this.#filled) {
      this.#flush();
    }
    const target = size > BLOCK ? Buffer.allocUnsafe(size) : this.#block;
    const at = this.#filled;
    target.writeUInt32BE(1 + body.length, at);
    target.writeUInt32BE(xid ?? this.#writing!.xid, at + 4);
    target[at + HEADER] = type;
    body.copy(target, at + HEADER + 1);
    if (size > BLOCK) {
      this.#writeOut(target, size);
    } else {
      this.#filled += size;
    }
  }

  /** The piece is over. */
  end(): void {
    this.#flush();
    const { descriptor } = this.#writing!;
    this.#writing = null;
    this.#guarded(() => closeSync(descriptor));
  }

  /** The subtransaction was rolled back: what it wrote is not read. */
  rollBack(xid: number, subxid: number): void {
    this.#transactions.get(xid)?.aborted.add(subxid);
  }

  /** The transaction's messages, as of version 1 of the protocol. */
  read(xid: number): SpoolReader {
    const { file, aborted } = this.#transactions.get(xid)!;
    return new SpoolReader(
      this.#guarded(() => openSync(file, "r")),
      aborted,
      this.#folder,
    );
  }

  remove(xid: number): void {
    const transaction = this.#transactions.get(xid);
    if (transaction !== undefined) {
      this.#transactions.delete(xid);
      this.#guarded(() => rmSync(transaction.file, { force: true }));
    }
  }

  /** Removes everything of this session. */
  close(): void {
    if (this.#writing !== null) {
      closeSync(this.#writing.descriptor);
      this.#writing = null;
    }
    this.#transactions.clear();
    try {
      rmSync(this.#session, { recursive: true, force: true });
      rmdirSync(this.#folder);
    } catch {
      // Another session has its folder there by now, or removes this one when it begins.
    }
  }

  #flush(): void {
    const length = this.#filled;
    this.#filled = 0;
    this.#writeOut(this.#block, length);
  }

  #writeOut(bytes: Buffer, length: number): void {
    const { descriptor } = this.#writing!;
    for (let at = 0; at < length; ) {
      at += this.#guarded(() => writeSync(descriptor, bytes, at, length - at));
    }
  }

  #guarded<T>(step: () => T): T {
    return guarded(this.#folder, step);
  }
}

export class SpoolReader {
  readonly #descriptor: number;
  readonly #aborted: ReadonlySet<number>;
  readonly #folder: string;
  #block = Buffer.allocUnsafeSlow(BLOCK);
  #from = 0;
  #until = 0;

  constructor(descriptor: number, aborted: ReadonlySet<number>, folder: string) {
    this.#descriptor = descriptor;
    this.#aborted = aborted;
    this.#folder = folder;
  }

  /** The next message that was not rolled back, valid until the next call; null at the end. */
  next(): Buffer | null {
    for (;;) {
      if (!this.#fill(HEADER)) {
        return null;
      }
      const length = this.#block.readUInt32BE(this.#from);
      const xid = this.#block.readUInt32BE(this.#from + 4);
      if (!this.#fill(HEADER + length)) {
        throw spoolFailed(this.#folder, "a file ends inside a message");
      }
      const start = this.#from + HEADER;
      this.#from = start + length;
      if (!this.#aborted.has(xid)) {
        return this.#block.subarray(start, this.#from);
      }
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  /** Has so many bytes at hand; false at the end of the file. */
  #fill(wanted: number): boolean {
    if (this.#until - this.#from >= wanted) {
      return true;
    }
    const rest = this.#block.subarray(this.#from, this.#until);
    const block = wanted > this.#block.length ? Buffer.allocUnsafeSlow(wanted) : this.#block;
    this.#until = rest.copy(block);
    this.#from = 0;
    this.#block = block;
    while (this.#until < wanted) {
      const read = guarded(this.#folder, () =>
        readSync(this.#descriptor, block, this.#until, block.length - this.#until, null),
      );
      if (read === 0) {
        if (this.#until > 0) {
          throw spoolFailed(this.#folder, "a file ends inside a message");
        }
        return false;
      }
      this.#until += read;
    }
    return true;
  }
}

const NO_ROOM = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

function guarded<T>(folder: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (NO_ROOM.has(code)) {
      throw new AfterimageError(
        "SPOOL_FULL",
        `There is no room in ${folder} for transactions that are still open (${code}).`,
        "Make room, or name a folder on a larger disk in spoolFolder, or set streaming: off, then start again. Nothing is lost.",
        { cause: error },
      );
    }
    throw spoolFailed(folder, code === "" ? messageOf(error) : code, error);
  }
}

function spoolFailed(folder: string, why: string, cause?: unknown): AfterimageError {
  return new AfterimageError(
    "SPOOL_FAILED",
    `Open transactions can't be kept in ${folder}: ${why}.`,
    "Let spoolFolder name a folder that this user may write to and that nobody else cleans, then start again. Nothing is lost.",
    { cause },
  );
}
