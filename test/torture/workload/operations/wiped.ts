// TRUNCATE in the middle of transactions, of one table and of several.
import type { Random } from "../../random.ts";
import { type Raw, raw, rows, type Statement, sql } from "../statement.ts";
import type { Operation } from "./operation.ts";

const TABLES = [raw("public.wiped_a"), raw("public.wiped_b")] as const;
const IDS = 60;

function fill(random: Random, table: Raw): Statement {
  const ids = random.shuffle([...Array(IDS).keys()]).slice(0, random.int(1, 4));
  return sql`INSERT INTO ${table} VALUES ${rows(ids.map((id) => [id, random.text(8)]))}
    ON CONFLICT (id) DO UPDATE SET value = EXCLUDED.value`;
}

export const WIPED_OPERATIONS: readonly Operation[] = [
  { name: "fill", weight: 7, plan: (random) => [fill(random, random.pick(TABLES))] },
  {
    name: "change filled",
    weight: 4,
    plan(random) {
      const [table, id] = [random.pick(TABLES), random.int(0, IDS - 1)];
      return random.chance(0.6)
        ? [sql`UPDATE ${table} SET value = ${random.text(8)} WHERE id BETWEEN ${id} AND ${id + 10}`]
        : [sql`DELETE FROM ${table} WHERE id BETWEEN ${id} AND ${id + 5}`];
    },
  },
  { name: "truncate", weight: 1, plan: (random) => [sql`TRUNCATE ${random.pick(TABLES)}`] },
  {
    name: "truncate among rows",
    weight: 2,
    plan(random) {
      const table = random.pick(TABLES);
      return [fill(random, table), sql`TRUNCATE ${table}`, fill(random, table), fill(random, TABLES[0])];
    },
  },
  {
    name: "truncate several",
    weight: 1,
    plan(random) {
      const [one, other] = random.shuffle(TABLES);
      return [fill(random, one!), sql`TRUNCATE ${one!}, public.parts_low, ${other!}`, fill(random, other!)];
    },
  },
];
