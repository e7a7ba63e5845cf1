// The file that holds the last row of every key: one SQLite table for each captured table, and what the rows account
// for, changed in one transaction. Only what is durable in Kafka may be written to it: nothing here can be taken back.
import { closeSync, openSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { formatLsn, type Lsn, parseLsn, ZERO_LSN } from "../event/lsn.ts";
import { fileForeign, imagesStep } from "./errors.ts";

/** "AFTI": what `file` and we know the format by. https://www.sqlite.org/pragma.html#pragma_application_id */
const APPLICATION_ID = 0x41465449;
const FORMAT = 1;

/** In KiB, negative as SQLite wants it. */
const CACHE_SIZE = -32_768;

const LAYOUT = `
  CREATE TABLE stream (name TEXT NOT NULL, system_id TEXT NOT NULL, database INTEGER NOT NULL, epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL) STRICT;
  CREATE TABLE tables (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, topic_id TEXT NOT NULL, sequence INTEGER NOT NULL,
    schema INTEGER, trust_from TEXT NOT NULL, cleared INTEGER NOT NULL, whole INTEGER NOT NULL, moving TEXT) STRICT;
  CREATE TABLE positions (table_id INTEGER NOT NULL, partition INTEGER NOT NULL, sequence INTEGER NOT NULL,
    log_offset INTEGER NOT NULL, PRIMARY KEY (table_id, partition)) STRICT, WITHOUT ROWID;
`;

/** Whose rows these are. */
export interface StreamIdentity {
  readonly stream: string;
  readonly systemId: string;
  readonly database: number;
  readonly epoch: number;
}

/** What the rows of one table account for, beside the last event itself. */
export interface TableState {
  /** Id of the shape that all rows have; null before the first. */
  readonly schema: number | null;
  /** Rows of events that were committed below it are not kept. */
  readonly trustFrom: Lsn;
  /** Sequence of the last event at which the rows were thrown away, or one could not be kept. */
  readonly cleared: number;
  /** Whether every row of the table is known. */
  readonly whole: boolean;
  /** The row that a key change has taken away from its old key, until the insert of the next sequence. */
  readonly moving: string | null;
}

export const NOTHING_KNOWN: TableState = { schema: null, trustFrom: ZERO_LSN, cleared: 0, whole: false, moving: null };

/** The last record of a partition that the rows account for. */
export interface ImagePosition {
  readonly sequence: number;
  readonly offset: bigint;
}

export interface StoredTable {
  readonly topicId: string;
  readonly sequence: number;
  readonly state: TableState;
  readonly positions: ReadonlyMap<number, ImagePosition>;
}

export class ImageFile {
  readonly path: string;
  readonly #database: DatabaseSync;
  readonly #tables = new Map<string, TableFile>();

  private constructor(path: string, database: DatabaseSync) {
    this.path = path;
    this.#database = database;
  }

  /**
   * Opens or makes the file; one of another server, database or epoch, or of events that the stream no longer has
   * (`sequence` is its last), is emptied. Throws IMAGES_LOCKED, IMAGES_FAILED or IMAGES_FILE_FOREIGN.
   */
  static open(path: string, identity: StreamIdentity, sequence: number): ImageFile {
    const database = imagesStep(path, () => {
      // It holds rows: nobody else's to read. What SQLite puts beside it gets the same mode.
      closeSync(openSync(path, "a", 0o600));
      return new DatabaseSync(path, { timeout: 0 });
    });
    try {
      return imagesStep(path, () => {
        // Held until the process ends, however it dies.
        database.exec("PRAGMA locking_mode = EXCLUSIVE");
        database.exec("BEGIN IMMEDIATE");
        const isNew = checkOurs(path, database, identity);
        database.exec("COMMIT");
        database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = ${CACHE_SIZE}`);
        const file = new ImageFile(path, database);
        if (isNew || !file.#isOf(identity, sequence)) {
          file.#begin(identity, isNew);
        }
        return file;
      });
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** The rows of this table; those of tables that nobody asks for are dropped by `keepOnly`. */
  table(name: string, topicId: string): TableFile {
    return imagesStep(this.path, () => {
      this.#database
        .prepare(
          "INSERT INTO tables (name, topic_id, sequence, trust_from, cleared, whole) VALUES (?, ?, 0, ?, 0, 0) ON CONFLICT DO NOTHING",
        )
        .run(name, topicId, formatLsn(ZERO_LSN));
      const { id } = this.#database.prepare("SELECT id FROM tables WHERE name = ?").get(name) as { id: number };
      this.#database.exec(
        `CREATE TABLE IF NOT EXISTS rows_${id} (key TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT, WITHOUT ROWID`,
      );
      const table = new TableFile(this.#database, id);
      this.#tables.set(name, table);
      return table;
    });
  }

  keepOnly(names: readonly string[]): void {
    this.transaction(() => {
      for (const { id, name } of this.#database.prepare("SELECT id, name FROM tables").all() as {
        id: number;
        name: string;
      }[]) {
        if (!names.includes(name)) {
          this.#database.exec(
            `DROP TABLE IF EXISTS rows_${id}; DELETE FROM tables WHERE id = ${id}; DELETE FROM positions WHERE table_id = ${id}`,
          );
        }
      }
    });
  }

  /** All of it or nothing; `sequence`: the last event of the stream that it accounts for. */
  transaction(step: () => void, sequence?: number): void {
    imagesStep(this.path, () => {
      this.#database.exec("BEGIN IMMEDIATE");
      try {
        step();
        if (sequence !== undefined) {
          this.#database.prepare("UPDATE stream SET sequence = ?").run(sequence);
        }
        this.#database.exec("COMMIT");
      } catch (error) {
        // SQLite has rolled back by itself after some failures, such as a full disk.
        if (this.#database.isTransaction) {
          this.#database.exec("ROLLBACK");
        }
        throw error;
      }
    });
  }

  close(): void {
    this.#database.close();
  }

  #isOf({ systemId, database, epoch }: StreamIdentity, sequence: number): boolean {
    const stored = this.#database.prepare("SELECT * FROM stream").get() as Record<string, unknown>;
    return (
      stored.system_id === systemId &&
      stored.database === database &&
      stored.epoch === epoch &&
      (stored.sequence as number) <= sequence
    );
  }

  #begin({ stream, systemId, database, epoch }: StreamIdentity, isNew: boolean): void {
    if (!isNew) {
      this.keepOnly([]);
    }
    this.transaction(() => {
      this.#database.exec("DELETE FROM stream");
      this.#database
        .prepare("INSERT INTO stream (name, system_id, database, epoch, sequence) VALUES (?, ?, ?, ?, 0)")
        .run(stream, systemId, database, epoch);
    });
  }
}

/** Whether the file was empty and has its layout now. Throws IMAGES_FILE_FOREIGN. */
function checkOurs(path: string, database: DatabaseSync, { stream }: StreamIdentity): boolean {
  const read = (pragma: string) => Object.values(database.prepare(`PRAGMA ${pragma}`).get()!)[0];
  const holdsTables = database.prepare("SELECT 1 FROM sqlite_schema").get() !== undefined;
  if (read("application_id") === APPLICATION_ID && holdsTables) {
    if (read("user_version") !== FORMAT) {
      throw fileForeign(path, "was written by another version of afterimage");
    }
    const name = database.prepare("SELECT name FROM stream").get()?.name;
    if (name !== undefined && name !== stream) {
      throw fileForeign(path, `holds the images of stream ${name}`);
    }
    return name === undefined;
  }
  if (holdsTables) {
    throw fileForeign(path, "is another program's database");
  }
  database.exec(`${LAYOUT} PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${FORMAT};`);
  return true;
}

/** The rows of one table. What it throws is SQLite's: its users wrap it. */
export class TableFile {
  readonly #id: number;
  readonly #database: DatabaseSync;
  readonly #get: StatementSync;
  readonly #put: StatementSync;
  readonly #remove: StatementSync;
  readonly #saveState: StatementSync;
  readonly #savePosition: StatementSync;

  constructor(database: DatabaseSync, id: number) {
    this.#id = id;
    this.#database = database;
    this.#get = database.prepare(`SELECT row FROM rows_${id} WHERE key = ?`);
    this.#put = database.prepare(
      `INSERT INTO rows_${id} (key, row) VALUES (?, ?) ON CONFLICT DO UPDATE SET row = excluded.row`,
    );
    this.#remove = database.prepare(`DELETE FROM rows_${id} WHERE key = ?`);
    this.#saveState = database.prepare(
      "UPDATE tables SET sequence = ?, schema = ?, trust_from = ?, cleared = ?, whole = ?, moving = ? WHERE id = ?",
    );
    this.#savePosition = database.prepare(
      "INSERT OR REPLACE INTO positions (table_id, partition, sequence, log_offset) VALUES (?, ?, ?, ?)",
    );
  }

  get(key: string): string | null {
    const found = this.#get.get(key) as { row: string } | undefined;
    return found?.row ?? null;
  }

  put(key: string, row: string): void {
    this.#put.run(key, row);
  }

  remove(key: string): void {
    this.#remove.run(key);
  }

  /** Without a condition SQLite throws all pages away at once. */
  clear(): void {
    this.#database.exec(`DELETE FROM rows_${this.#id}`);
  }

  save(sequence: number, { schema, trustFrom, cleared, whole, moving }: TableState): void {
    this.#saveState.run(sequence, schema, formatLsn(trustFrom), cleared, whole ? 1 : 0, moving, this.#id);
  }

  savePosition(partition: number, { sequence, offset }: ImagePosition): void {
    this.#savePosition.run(this.#id, partition, sequence, offset);
  }

  /** Nothing is known any more; the rows to come are those of this topic. */
  reset(topicId: string): void {
    this.clear();
    this.#database.exec(`DELETE FROM positions WHERE table_id = ${this.#id}`);
    this.#database.prepare("UPDATE tables SET topic_id = ? WHERE id = ?").run(topicId, this.#id);
    this.save(0, NOTHING_KNOWN);
  }

  stored(): StoredTable {
    const row = this.#database.prepare("SELECT * FROM tables WHERE id = ?").get(this.#id) as Record<string, never>;
    const positions = this.#database
      .prepare("SELECT partition, sequence, log_offset FROM positions WHERE table_id = ?")
      .all(this.#id) as { partition: number; sequence: number; log_offset: number }[];
    return {
      topicId: row.topic_id!,
      sequence: row.sequence!,
      state: {
        schema: row.schema ?? null,
        trustFrom: parseLsn(row.trust_from!),
        cleared: row.cleared!,
        whole: row.whole === 1,
        moving: row.moving ?? null,
      },
      positions: new Map(
        positions.map(({ partition, sequence, log_offset }) => [partition, { sequence, offset: BigInt(log_offset) }]),
      ),
    };
  }
}
