// Composite keys that many writers fight over: upserts, MERGE, key changes, and statements that change two tables.
import type { Random } from "../../random.ts";
import { raw, rows, sql } from "../statement.ts";
import type { Operation } from "./operation.ts";

const tenant = (random: Random) => random.int(1, 3);
const code = (random: Random) => `k${random.int(1, 12)}`;
/** Three texts of one key, and one of another. */
const tier = (random: Random) => raw(random.pick(["1", "1.0", "1.00", "2"]));

/** Rows of one statement must not have a key twice. */
function freshRows(random: Random): (string | number)[][] {
  const codes = random.shuffle([...Array(12).keys()]).slice(0, random.int(1, 4));
  const one = tenant(random);
  return codes.map((at) => [one, `k${at + 1}`, 1, random.text(random.int(0, 40))]);
}

export const KEYED_OPERATIONS: readonly Operation[] = [
  {
    name: "upsert",
    weight: 10,
    plan: (random) => [
      sql`INSERT INTO public.keyed (tenant, code, tier, value) VALUES ${rows(freshRows(random))}
          ON CONFLICT (tenant, code, tier) DO UPDATE SET value = EXCLUDED.value, version = keyed.version + 1`,
    ],
  },
  {
    // When a row is there under another text of the same number, its key changes though Postgres calls them equal.
    name: "upsert tier",
    weight: 4,
    plan: (random) => [
      sql`INSERT INTO public.keyed (tenant, code, tier, value)
          VALUES (${tenant(random)}, ${code(random)}, ${tier(random)}, ${random.text(10)})
          ON CONFLICT (tenant, code, tier) DO UPDATE SET tier = EXCLUDED.tier, version = keyed.version + 1`,
    ],
  },
  {
    name: "merge",
    weight: 4,
    plan: (random) => [
      sql`MERGE INTO public.keyed AS k USING (VALUES ${rows(freshRows(random))}) AS v (tenant, code, tier, value)
          ON k.tenant = v.tenant AND k.code = v.code AND k.tier = v.tier
          WHEN MATCHED AND k.version % 5 = 0 THEN DELETE
          WHEN MATCHED THEN UPDATE SET value = v.value, version = k.version + 1
          WHEN NOT MATCHED THEN INSERT (tenant, code, tier, value) VALUES (v.tenant, v.code, v.tier, v.value)`,
    ],
  },
  {
    name: "change key",
    weight: 4,
    plan(random) {
      const [one, to] = [tenant(random), code(random)];
      return [
        sql`UPDATE public.keyed k SET code = ${to}, version = version + 1 WHERE tenant = ${one} AND code = ${code(random)}
            AND NOT EXISTS (SELECT FROM public.keyed o WHERE o.tenant = ${one} AND o.code = ${to} AND o.tier = k.tier)`,
      ];
    },
  },
  {
    name: "delete and insert again",
    weight: 4,
    plan(random) {
      const [one, which] = [tenant(random), code(random)];
      return [
        sql`DELETE FROM public.keyed WHERE tenant = ${one} AND code = ${which}`,
        sql`INSERT INTO public.keyed (tenant, code, tier, value) VALUES (${one}, ${which}, 1, ${random.text(20)})
            ON CONFLICT DO NOTHING`,
      ];
    },
  },
  {
    name: "update many",
    weight: 2,
    plan: (random) => [
      sql`UPDATE public.keyed SET version = version + 1 WHERE tenant = ${tenant(random)} AND code <= ${code(random)}`,
    ],
  },
  {
    // Its rows are deleted and inserted in turn.
    name: "move by statement",
    weight: 3,
    plan: (random) => [
      sql`WITH gone AS (DELETE FROM public.keyed WHERE tenant = ${tenant(random)} AND code IN (${code(random)}, ${code(random)})
            RETURNING tenant, code, value)
          INSERT INTO public.indexed (region, number, value) SELECT code, tenant, value FROM gone
          ON CONFLICT (number, region) DO NOTHING`,
    ],
  },
  {
    name: "index upsert",
    weight: 4,
    plan: (random) => [
      sql`INSERT INTO public.indexed (region, number, value) VALUES (${code(random)}, ${tenant(random)}, ${random.text(12)})
          ON CONFLICT (number, region) DO UPDATE SET value = EXCLUDED.value`,
    ],
  },
  {
    name: "index key change",
    weight: 3,
    plan(random) {
      const to = tenant(random);
      return [
        sql`UPDATE public.indexed i SET number = ${to} WHERE region = ${code(random)} AND number = ${tenant(random)}
            AND NOT EXISTS (SELECT FROM public.indexed o WHERE o.region = i.region AND o.number = ${to})`,
      ];
    },
  },
  {
    name: "index delete",
    weight: 1,
    plan: (random) => [sql`DELETE FROM public.indexed WHERE region = ${code(random)}`],
  },
];
