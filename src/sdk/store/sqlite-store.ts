// A view in a SQLite file: rows and checkpoints in one transaction. One process at a time.
import { createHash } from "node:crypto";
import { existsSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { AfterimageError, messageOf } from "../../errors.ts";
import type { BarrierEvent, RowEvent, WireRow } from "../../event/change-event.ts";
import { failpoint } from "../../failpoint.ts";
import { type FileLock, lockFile } from "./file-lock.ts";
import { CHECKPOINT_TABLE, SqliteCheckpoints } from "./sqlite-checkpoints.ts";
import { storeStep } from "./sqlite-errors.ts";
import { SNAPSHOT_TABLES, SqliteSnapshots } from "./sqlite-snapshots.ts";
import { SqliteTransaction } from "./sqlite-transaction.ts";
import type { Advance, Checkpoint, OpenSnapshot, Store, StoreSession } from "./store.ts";

export interface SqliteStoreOptions {
  /** SQL that makes the view's tables, run once when the file is new to afterimage. */
  readonly setup?: string;
}

const VERSION = "1";

// NORMAL syncs only when the WAL is copied into the file. Safe here: after a power cut the file is at an earlier
// commit as a whole, our checkpoints included, and the stream is read again from there. A cache of 64 MiB and a WAL
// of 32 MiB more than doubled the speed of catching up on 50,000 rows: a page changed often is written seldom.
const PRAGMAS = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  PRAGMA cache_size = -65536;
  PRAGMA wal_autocheckpoint = 8192;`;

/**
 * A store in one SQLite file, in WAL mode, so that any number of other connections can read it meanwhile.
 * A crash of the process or of the machine leaves rows and checkpoint at the same, possibly earlier, event.
 */
export function sqliteStore(file: string, options: SqliteStoreOptions = {}): Store<SqliteTransaction> {
  return {
    open: async ({ stream, group }) =>
      storeStep(file, "open", () => SqliteSession.open(file, options.setup ?? "", stream, group)),
  };
}

class SqliteSession implements StoreSession<SqliteTransaction> {
  readonly tx: SqliteTransaction;
  readonly #file: string;
  readonly #lock: FileLock;
  readonly #database: DatabaseSync;
  readonly #checkpoints: SqliteCheckpoints;
  readonly #snapshots: SqliteSnapshots;

  private constructor(
    file: string,
    lock: FileLock,
    database: DatabaseSync,
    checkpoints: SqliteCheckpoints,
    snapshots: SqliteSnapshots,
  ) {
    this.#snapshots = snapshots;
    this.#file = file;
    this.#lock = lock;
    this.#database = database;
    this.#checkpoints = checkpoints;
    this.tx = new SqliteTransaction(database);
  }

  static open(file: string, setup: string, stream: string, group: string): SqliteSession {
    const path = realPath(file);
    const lock = lockFile(path);
    let database: DatabaseSync | undefined;
    try {
      database = new DatabaseSync(path, { timeout: 5000 });
      database.exec(PRAGMAS);
      prepareFile(database, path, setup);
      // A file of before there were snapshots lacks them.
      database.exec(SNAPSHOT_TABLES);
      const checkpoints = new SqliteCheckpoints(database, stream, group);
      return new SqliteSession(path, lock, database, checkpoints, new SqliteSnapshots(database, stream, group));
    } catch (cause) {
      database?.close();
      lock.release();
      throw cause;
    }
  }

  claim(topic: string, topicId: string, partitions: number): readonly Checkpoint[] {
    return storeStep(this.#file, "write", () => this.#checkpoints.claim(topic, topicId, partitions));
  }

  begin(): void {
    storeStep(this.#file, "write", () => this.#database.exec("BEGIN IMMEDIATE"));
  }

  attribute(event: RowEvent | BarrierEvent | null, movedFrom: WireRow | null): void {
    this.tx.attribute(event, movedFrom, event === null ? null : this.#snapshots.get(event.table));
  }

  snapshotOf(table: string): OpenSnapshot | null {
    return this.#snapshots.get(table);
  }

  setSnapshot(table: string, snapshot: OpenSnapshot | null): void {
    storeStep(this.#file, "write", () => this.#snapshots.set(table, snapshot));
  }

  commit(advances: readonly Advance[]): void {
    storeStep(this.#file, "write", () => {
      failpoint("store.before-checkpoints");
      for (const advance of advances) {
        this.#checkpoints.advance(advance);
      }
      failpoint("store.checkpoints-written");
      this.#database.exec("COMMIT");
      failpoint("store.committed");
    });
  }

  rollback(): void {
    // SQLite may have rolled back by itself (disk full, I/O error).
    if (this.#database.isOpen && this.#database.isTransaction) {
      storeStep(this.#file, "write", () => {
        this.#database.exec("ROLLBACK");
        this.#snapshots.load();
      });
    }
  }

  close(): void {
    this.#database.close();
    this.#lock.release();
  }
}

/** One file has one lock, whatever links lead to it. */
function realPath(file: string): string {
  if (existsSync(file)) {
    return realpathSync(file);
  }
  const folder = dirname(file);
  if (!existsSync(folder)) {
    throw new AfterimageError(
      "STORE_FOLDER_MISSING",
      `There is no folder ${folder} for the store's file.`,
      "Create the folder, or give another file.",
    );
  }
  return join(realpathSync(folder), basename(file));
}

/** Makes our tables and the view's in one transaction, so that a crash between them can't happen. */
function prepareFile(database: DatabaseSync, file: string, setup: string): void {
  const hash = createHash("sha256").update(setup.trim()).digest("hex");
  if (database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'afterimage_view'").get() === undefined) {
    database.exec(`BEGIN IMMEDIATE; CREATE TABLE afterimage_view (version TEXT NOT NULL, setup TEXT NOT NULL) STRICT;`);
    database.exec(CHECKPOINT_TABLE);
    database.prepare("INSERT INTO afterimage_view (version, setup) VALUES (?, ?)").run(VERSION, hash);
    try {
      database.exec(setup);
    } catch (cause) {
      throw new AfterimageError(
        "STORE_SETUP_FAILED",
        `The setup of the view in ${file} failed: ${messageOf(cause)}.`,
        "Correct the SQL given as `setup` to sqliteStore. Nothing was created.",
        { cause },
      );
    }
    failpoint("store.setup-made");
    database.exec("COMMIT");
    return;
  }
  const view = database.prepare("SELECT version, setup FROM afterimage_view").get();
  if (view?.version !== VERSION) {
    throw new AfterimageError(
      "STORE_VERSION_UNKNOWN",
      `${file} was made by another version of afterimage-cdc (its form is ${String(view?.version)}, this one knows ${VERSION}).`,
      "Use that version, or remove the file: the view is built again from the stream.",
    );
  }
  if (view.setup !== hash) {
    throw new AfterimageError(
      "STORE_SETUP_CHANGED",
      `The tables in ${file} were made with another \`setup\` than the one given now.`,
      "Remove the file (and its -wal and -shm): the view is built again from the stream. Or give the setup it was made with.",
    );
  }
}
