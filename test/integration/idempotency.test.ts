// Idempotency keys on a real Postgres and on SQLite: one effect, one answer, also across processes that are killed.
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { freePort } from "../../dev/servers/process.ts";
import { AfterimageError, createIdempotency, type Idempotency, postgresKeys, sqliteKeys } from "../../src/sdk/index.ts";
import { EFFECTS_TABLE, idempotencyUnderKills, postgresEffects, sqliteEffects } from "../kills/idempotency.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { waitFor } from "../support/wait-for.ts";
import { seeded } from "../torture/random.ts";

let database: TestDatabase;
let folder: string;
beforeAll(async () => {
  database = await createDatabase();
  await database.client.query(EFFECTS_TABLE);
  folder = mkdtempSync(join(tmpdir(), "afterimage-keys-"));
});
afterAll(async () => {
  await database.drop();
  rmSync(folder, { recursive: true });
});

/** Both stores behind one face: `add` writes an effect in the transaction, `count` counts those of a key. */
interface Subject<Tx = unknown> {
  open(): Idempotency<Tx>;
  add(tx: Tx, key: string): Promise<unknown>;
  end(tx: Tx): Promise<unknown>;
  count(key: string): Promise<number>;
}

const subjects: [string, () => Subject][] = [
  [
    "postgres",
    () =>
      ({
        open: () => createIdempotency({ store: postgresKeys(database.url) }),
        add: (tx, key) => tx.query("INSERT INTO effects VALUES ($1, '')", [key]),
        end: (tx) => tx.query("COMMIT"),
        count: async (key) =>
          (await database.client.query("SELECT count(*)::int AS n FROM effects WHERE key = $1", [key])).rows[0].n,
      }) satisfies Subject<import("../../src/sdk/index.ts").PostgresTransaction> as Subject,
  ],
  [
    "sqlite",
    () => {
      const file = join(folder, "keys.db");
      return {
        open: () => createIdempotency({ store: sqliteKeys(file, { setup: EFFECTS_TABLE }) }),
        add: async (tx, key) => tx.run("INSERT INTO effects VALUES (?, '')", key),
        end: async (tx) => tx.run("COMMIT"),
        count: async (key) => (await sqliteEffects(file).effects()).filter((effect) => effect.key === key).length,
      } satisfies Subject<import("../../src/sdk/index.ts").SqliteKeysTransaction> as Subject;
    },
  ],
];

describe.each(subjects)("%s", (_, make) => {
  let subject: Subject;
  let [one, other]: Idempotency<unknown>[] = [];
  beforeAll(() => {
    subject = make();
    [one, other] = [subject.open(), subject.open()];
  });
  afterAll(async () => {
    await Promise.all([one!.close(), other!.close()]);
  });

  const failure = async (promise: Promise<unknown>): Promise<string> => {
    const error = await promise.then(
      () => expect.fail("It was accepted."),
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(AfterimageError);
    return (error as AfterimageError).code;
  };

  test("the second call gets the stored result, and arguments are compared by value", async () => {
    const key = randomUUID();
    const effect = async (tx: unknown) => {
      await subject.add(tx, key);
      return { paid: [1, null, "\u0000\ud800"], at: undefined };
    };
    const result = { paid: [1, null, "\u0000\ud800"] };
    expect(await one!.process(key, effect, { arguments: { a: 1, b: 2 } })).toStrictEqual({
      status: "processed",
      result,
    });
    for (const again of [one!, other!]) {
      expect(await again.process(key, () => expect.fail("run twice"), { arguments: { b: 2, a: 1 } })).toStrictEqual({
        status: "duplicate",
        result,
      });
    }
    for (const options of [{ arguments: { a: 1, b: 3 } }, { arguments: [] }, {}]) {
      expect(await failure(other!.process(key, () => expect.fail("run twice"), options))).toBe("KEY_REUSED");
    }
    expect(await subject.count(key)).toBe(1);
  });

  test("at the same time: one has the effect, the others wait and get its result", async () => {
    const key = randomUUID();
    const calls = Array.from({ length: 8 }, (_, at) =>
      (at % 2 === 0 ? one! : other!).process(key, async (tx) => {
        await subject.add(tx, key);
        return at;
      }),
    );
    const answers = await Promise.all(calls);
    expect(new Set(answers.map(({ result }) => result)).size).toBe(1);
    expect(answers.filter(({ status }) => status === "processed").length).toBe(1);
    expect(await subject.count(key)).toBe(1);
  });

  test("a failure is not stored: whoever waited has the effect, with arguments of its own", async () => {
    const key = randomUUID();
    const declined = new Error("declined");
    const begun = Promise.withResolvers<void>();
    const end = Promise.withResolvers<void>();
    const first = one!.process(
      key,
      async (tx) => {
        await subject.add(tx, key);
        begun.resolve();
        await end.promise;
        throw declined;
      },
      { arguments: 1 },
    );
    await begun.promise;
    const second = other!.process(
      key,
      async (tx) => {
        await subject.add(tx, key);
        return "paid";
      },
      { arguments: 2 },
    );
    end.resolve();
    await expect(first).rejects.toBe(declined);
    expect(await second).toEqual({ status: "processed", result: "paid" });
    expect(await subject.count(key)).toBe(1);
  });

  test("a result that JSON can't hold is a failure like any other", async () => {
    const key = randomUUID();
    const lossy = one!.process(key, async (tx) => {
      await subject.add(tx, key);
      return { at: new Date() } as never;
    });
    expect(await failure(lossy)).toBe("VALUE_NOT_JSON");
    expect(await subject.count(key)).toBe(0);
    expect(await one!.process(key, async () => undefined)).toEqual({ status: "processed", result: undefined });
    expect(await one!.process(key, async () => 1)).toEqual({ status: "duplicate", result: undefined });
  });

  test("an expired key counts as new, and is removed", async () => {
    const key = randomUUID();
    const effect = (tx: unknown) => subject.add(tx, key).then(() => "done");
    const seen = await one!.process(key, effect, { expires: 0.01, arguments: 1 });
    expect(seen.status).toBe("processed");
    await waitFor(async () => (await one!.purge()) > 0, { what: "the key to expire" });
    expect(await one!.process(key, effect, { expires: 0.01, arguments: 2 })).toMatchObject({ status: "processed" });
    // Not removed, just expired: taken over.
    await waitFor(async () => (await other!.process(key, effect, { arguments: 2 })).status === "processed", {
      what: "the key to expire again",
    });
    expect(await subject.count(key)).toBe(3);
    expect(await one!.process(key, effect, { arguments: 2 })).toMatchObject({ status: "duplicate" });
    expect(await one!.purge()).toBe(0);
  });

  test("an effect that ends the transaction itself is found out, and not run again", async () => {
    const key = randomUUID();
    const ended = one!.process(key, async (tx) => {
      await subject.add(tx, key);
      await subject.end(tx);
      return "done";
    });
    expect(await failure(ended)).toBe("TRANSACTION_ENDED");
    expect(await failure(other!.process(key, () => expect.fail("run twice")))).toBe("KEY_UNFINISHED");
    expect(await subject.count(key)).toBe(1);
  });

  test("tx is over after the effect, and process is not for use within one", async () => {
    let kept: unknown;
    await one!.process(randomUUID(), async (tx) => {
      kept = tx;
      expect(await failure(one!.process(randomUUID(), async () => 1))).toBe("KEY_NESTED");
    });
    expect(await failure((async () => subject.add(kept, "late"))())).toBe("TRANSACTION_OVER");
    expect(await subject.count("late")).toBe(0);
  });

  test.each([[""], ["a\0b"], ["\ud800"], ["x".repeat(1025)], [undefined]])("%j is no key", async (key) => {
    expect(await failure(one!.process(key as string, async () => 1))).toBe("KEY_INVALID");
  });

  test.each([[0], [-1], [Number.NaN], [Number.POSITIVE_INFINITY]])("%d seconds are no expiry", async (expires) => {
    expect(await failure(one!.process("k", async () => 1, { expires }))).toBe("KEY_EXPIRY_INVALID");
  });
});

test("an error that the effect swallows does not pass for success", async () => {
  const idempotency = createIdempotency({ store: postgresKeys(database.url) });
  onTestFinished(() => idempotency.close());
  const key = randomUUID();
  const swallowing = idempotency.process(key, async (tx) => {
    await tx.query("INSERT INTO effects VALUES ($1, '')", [key]);
    await tx.query("SELECT 1 / 0").catch(() => undefined);
    return "done";
  });
  await expect(swallowing).rejects.toMatchObject({ code: "25P02" });
  const deferred = "CREATE TABLE refs (key text REFERENCES parents DEFERRABLE INITIALLY DEFERRED)";
  await database.client.query(`CREATE TABLE parents (key text PRIMARY KEY); ${deferred}`);
  const late = idempotency.process(key, async (tx) => (await tx.query("INSERT INTO refs VALUES ('none')")).rowCount);
  await expect(late).rejects.toMatchObject({ code: "23503" });
  expect(await idempotency.process(key, async () => "free")).toEqual({ status: "processed", result: "free" });
});

test("a pool of the application's own, whose sessions are serializable by default, in a schema of its own", async () => {
  const pool = new pg.Pool({
    connectionString: database.url,
    options: "-c default_transaction_isolation=serializable -c default_transaction_read_only=on",
  });
  onTestFinished(() => pool.end());
  const [a, b] = [0, 1].map(() => createIdempotency({ store: postgresKeys(pool, { schema: 'my "own"' }) }));
  const call = (idempotency: typeof a) =>
    idempotency!.process(
      "k",
      async (tx) => (await tx.query("SELECT count(*)::int AS n FROM effects")).rows[0]!.n as number,
    );
  const answers = await Promise.all([a, b, a, b].map(call));
  expect(answers.filter(({ status }) => status === "processed").length).toBe(1);
  expect(new Set(answers.map(({ result }) => result)).size).toBe(1);
  await a!.close(); // closes nothing of ours
  expect((await pool.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
});

test("a server that is not there is said by name", async () => {
  const idempotency = createIdempotency({ store: postgresKeys(`postgres://x:y@127.0.0.1:${await freePort()}/z`) });
  await expect(idempotency.process("k", async () => 1)).rejects.toMatchObject({ code: "POSTGRES_UNREACHABLE" });
});

test("processes that are killed and connections that are cut: one effect per key, and everybody is told of that one", async () => {
  const seed = randomUUID();
  const store = postgresEffects(database.url, database.client);
  await database.client.query("TRUNCATE effects");
  const report = await idempotencyUnderKills(store, 4, seeded(seed)).catch((cause) => {
    throw new Error(`With seed ${seed}: ${cause.message}`, { cause });
  });
  expect(report.kills).toBeGreaterThan(0);
});

test("the same on SQLite", async () => {
  const seed = randomUUID();
  const file = join(folder, "killed.db");
  await sqliteKeys(file, { setup: EFFECTS_TABLE }).close();
  const report = await idempotencyUnderKills(sqliteEffects(file), 3, seeded(seed)).catch((cause) => {
    throw new Error(`With seed ${seed}: ${cause.message}`, { cause });
  });
  expect(report.kills).toBeGreaterThan(0);
});
