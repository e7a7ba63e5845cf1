// Idempotency keys under SIGKILL: two processes work off the same keys, one of them is killed in the middle and begins again,
// and Postgres ends connections now and then. Then each key has had one effect, and everybody was told of that one.
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import type pg from "pg";
import type { Random } from "../torture/random.ts";
import { Worker } from "./child.ts";
import type { Answer } from "./idempotency-worker.ts";

const WORKER = fileURLToPath(new URL("idempotency-worker.ts", import.meta.url));
const KEYS = 12;

export interface EffectsStore {
  readonly kind: "postgres" | "sqlite";
  readonly address: string;
  effects(): Promise<{ key: string; effect: string }[]>;
  /** Ends the workers' connections, if it has any. */
  disconnect(): Promise<void>;
}

export function postgresEffects(url: string, client: pg.Client): EffectsStore {
  return {
    kind: "postgres",
    address: url,
    effects: async () => (await client.query("SELECT key, effect FROM effects")).rows,
    disconnect: async () => {
      await client.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'afterimage idempotency'",
      );
    },
  };
}

export const EFFECTS_TABLE = "CREATE TABLE IF NOT EXISTS effects (key text NOT NULL, effect text NOT NULL)";

export function sqliteEffects(file: string): EffectsStore {
  return {
    kind: "sqlite",
    address: file,
    disconnect: async () => undefined,
    effects: async () => {
      const database = new DatabaseSync(file, { timeout: 30_000 });
      try {
        return database.prepare("SELECT key, effect FROM effects").all() as never;
      } finally {
        database.close();
      }
    },
  };
}

export interface KillReport {
  readonly kills: number;
  readonly answers: number;
  readonly keys: number;
}

/** Throws with what is wrong. */
export async function idempotencyUnderKills(store: EffectsStore, rounds: number, random: Random): Promise<KillReport> {
  const answers: Answer[] = [];
  let kills = 0;
  for (let round = 0; round < rounds; round++) {
    const start = () =>
      new Worker([WORKER, store.kind, store.address, String(random.int(0, 2 ** 31)), String(round), String(KEYS)]);
    const work = async (killAfter: number | null) => {
      const worker = start();
      if (killAfter !== null) worker.killAfter(killAfter);
      const killed = await worker.ended();
      answers.push(...worker.lines<Answer>());
      return killed;
    };
    const victim = async () => {
      if (await work(random.int(1, KEYS - 1))) kills++;
      await work(null);
    };
    const others = random.chance(0.3) ? store.disconnect() : null;
    await Promise.all([victim(), work(null), others]);
  }
  check(await store.effects(), answers, rounds * KEYS);
  return { kills, answers: answers.length, keys: rounds * KEYS };
}

function check(effects: { key: string; effect: string }[], answers: readonly Answer[], keys: number): void {
  const problems: string[] = [];
  const had = new Map<string, string>();
  for (const { key, effect } of effects) {
    if (had.has(key)) problems.push(`key ${key} had two effects: ${had.get(key)} and ${effect}`);
    had.set(key, effect);
  }
  if (had.size !== keys) problems.push(`${keys} keys were processed and ${had.size} had an effect`);
  const fresh = new Set<string>();
  for (const { key, status, result } of answers) {
    if (had.get(key) !== result.effect) {
      problems.push(`key ${key}: somebody was told of ${result.effect}, and ${had.get(key)} happened`);
    }
    if (status === "processed") {
      if (fresh.has(key)) problems.push(`key ${key}: two calls were told that theirs had the effect`);
      fresh.add(key);
    }
  }
  if (problems.length > 0) throw new Error(problems.join("\n"));
}
