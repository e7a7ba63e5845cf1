// The checkpoints of a SQLite view, in a table beside its rows.
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { AfterimageError } from "../../errors.ts";
import { failpoint } from "../../failpoint.ts";
import type { Advance, Checkpoint } from "./store.ts";

export const CHECKPOINT_TABLE = `
  CREATE TABLE afterimage_checkpoints (
    "stream" TEXT NOT NULL,
    "group" TEXT NOT NULL,
    "topic" TEXT NOT NULL,
    "partition" INTEGER NOT NULL,
    "topic_id" TEXT NOT NULL,
    "token" INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    "sequence" INTEGER NOT NULL,
    "timestamp" TEXT,
    PRIMARY KEY ("stream", "group", "topic", "partition")
  ) STRICT, WITHOUT ROWID`;

export class SqliteCheckpoints {
  readonly #database: DatabaseSync;
  readonly #view: readonly [stream: string, group: string];
  readonly #tokens = new Map<string, bigint>();
  readonly #advance: StatementSync;

  constructor(database: DatabaseSync, stream: string, group: string) {
    this.#database = database;
    this.#view = [stream, group];
    this.#advance = database.prepare(
      `UPDATE afterimage_checkpoints SET "offset" = ?, "sequence" = ?, "timestamp" = ?
       WHERE "stream" = ? AND "group" = ? AND "topic" = ? AND "partition" = ? AND "token" = ? AND "offset" = ?`,
    );
  }

  /** The token is raised before anything is read: from then on the last owner's commits hit no row. */
  claim(topic: string, topicId: string, partitions: number): readonly Checkpoint[] {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      const checkpoints = this.#raiseTokens(topic);
      failpoint("store.tokens-raised");
      if (checkpoints.length === 0) {
        this.#create(topic, topicId, partitions);
        failpoint("store.checkpoints-made");
      }
      this.#database.exec("COMMIT");
      return checkpoints.length === 0 ? this.claim(topic, topicId, partitions) : checkpoints;
    } catch (cause) {
      if (this.#database.isTransaction) {
        this.#database.exec("ROLLBACK");
      }
      throw cause;
    }
  }

  /** Belongs into the transaction that holds the rows. */
  advance({ from, to }: Advance): void {
    const { changes } = this.#advance.run(
      to.offset,
      to.sequence,
      to.timestamp,
      ...this.#view,
      to.topic,
      to.partition,
      this.#tokens.get(tokenKey(to.topic, to.partition))!,
      from,
    );
    if (changes !== 1) {
      throw new AfterimageError(
        "STORE_FENCED",
        `Partition ${to.partition} of ${to.topic} was taken over by another consumer of this store.`,
        "Nothing was written. Let one consumer run at a time; restart this one if it should be the one.",
      );
    }
  }

  #raiseTokens(topic: string): Checkpoint[] {
    const raise = this.#database.prepare(
      `UPDATE afterimage_checkpoints SET "token" = "token" + 1 WHERE "stream" = ? AND "group" = ? AND "topic" = ?
       RETURNING "partition", "topic_id", "token", "offset", "sequence", "timestamp"`,
    );
    raise.setReadBigInts(true);
    return raise
      .all(...this.#view, topic)
      .map((row) => {
        const partition = Number(row.partition);
        this.#tokens.set(tokenKey(topic, partition), row.token as bigint);
        return {
          topic,
          partition,
          topicId: row.topic_id as string,
          offset: row.offset as bigint,
          sequence: Number(row.sequence),
          timestamp: row.timestamp as string | null,
        };
      })
      .sort((a, b) => a.partition - b.partition);
  }

  #create(topic: string, topicId: string, partitions: number): void {
    const insert = this.#database.prepare(
      `INSERT INTO afterimage_checkpoints ("stream", "group", "topic", "partition", "topic_id", "token", "offset", "sequence")
       VALUES (?, ?, ?, ?, ?, 0, 0, 0)`,
    );
    for (let partition = 0; partition < partitions; partition++) {
      insert.run(...this.#view, topic, partition, topicId);
    }
  }
}

const tokenKey = (topic: string, partition: number): string => `${partition}/${topic}`;
