// Run by hand: `npm run kills -- [NAME …] [--rounds 100] [--seed WORD]`. Each building block under SIGKILL at random
// moments, held against an independent check.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createDatabase } from "../../dev/servers/database.ts";
import { startPostgres } from "../../dev/servers/servers.ts";
import { sqliteKeys } from "../../src/sdk/index.ts";
import { type Random, seeded } from "../torture/random.ts";
import { bankUnderKills } from "./bank.ts";
import { EFFECTS_TABLE, idempotencyUnderKills, postgresEffects, sqliteEffects } from "./idempotency.ts";
import { registersUnderKills } from "./registers.ts";

type Trial = (rounds: number, random: Random, postgresUrl: string) => Promise<object>;

const TRIALS: Record<string, Trial> = {
  async idempotency(rounds, random, postgresUrl) {
    const database = await createDatabase(postgresUrl, "kills");
    try {
      await database.client.query(EFFECTS_TABLE);
      return await idempotencyUnderKills(postgresEffects(database.url, database.client), rounds, random);
    } finally {
      await database.drop();
    }
  },
  async bank(rounds, random, postgresUrl) {
    const database = await createDatabase(postgresUrl, "kills");
    try {
      return await bankUnderKills(database.url, database.client, rounds, random);
    } finally {
      await database.drop();
    }
  },
  async registers(rounds, random, postgresUrl) {
    const database = await createDatabase(postgresUrl, "kills");
    try {
      return await registersUnderKills(database.url, database.client, rounds, random);
    } finally {
      await database.drop();
    }
  },
  async "idempotency-sqlite"(rounds, random) {
    const folder = mkdtempSync(join(tmpdir(), "afterimage-kills-"));
    try {
      const file = join(folder, "keys.db");
      await sqliteKeys(file, { setup: EFFECTS_TABLE }).close();
      return await idempotencyUnderKills(sqliteEffects(file), rounds, random);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "100" }, seed: { type: "string" } },
});
const seed = values.seed ?? randomBytes(4).toString("hex");
const chosen = positionals.length === 0 ? Object.keys(TRIALS) : positionals;
const unknown = chosen.filter((name) => !(name in TRIALS));
if (unknown.length > 0) {
  console.error(`There is no ${unknown.join(", ")}; there are ${Object.keys(TRIALS).join(", ")}.`);
  process.exit(2);
}
const named = process.env.AFTERIMAGE_TEST_POSTGRES_URL;
const postgres = named ? null : await startPostgres();
try {
  for (const name of chosen) {
    console.log(`${name}: ${values.rounds} rounds, seed ${seed}`);
    const report = await TRIALS[name]!(Number(values.rounds), seeded(`${seed}/${name}`), named || postgres!.address);
    console.log(`${name}: held. ${JSON.stringify(report)}`);
  }
} finally {
  await postgres?.remove();
}
