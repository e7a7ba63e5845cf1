// Large values that are stored out of line, and changes that leave them as they are.
import type { Random } from "../../random.ts";
import { raw, sql } from "../statement.ts";
import type { Operation } from "./operation.ts";

const IDS = 40;

/** Mostly a little above what stays in line (2 kB), at times 100 kB, at times small. */
function body(random: Random): string {
  const drawn = random.int(1, 100);
  if (drawn <= 2) return random.text(100_000);
  return random.text(drawn <= 12 ? random.int(0, 60) : random.int(2_200, 6_000));
}

function operationsOn(table: string, weight: number): Operation[] {
  const name = raw(`public.${table}`);
  const id = (random: Random) => random.int(1, IDS);
  return [
    {
      name: `write ${table}`,
      weight: 4 * weight,
      plan: (random) => [
        sql`INSERT INTO ${name} VALUES (${id(random)}, 0, ${body(random)}, ${random.chance(0.5) ? random.text(2_500) : null})
            ON CONFLICT (id) DO UPDATE SET body = EXCLUDED.body, revision = ${name}.revision + 1`,
      ],
    },
    {
      name: `revise ${table}`,
      weight: 5 * weight,
      plan: (random) => [sql`UPDATE ${name} SET revision = revision + 1 WHERE id = ${id(random)}`],
    },
    {
      name: `extend ${table}`,
      weight: 2 * weight,
      plan: (random) => [sql`UPDATE ${name} SET extra = ${random.text(random.int(0, 3_000))} WHERE id = ${id(random)}`],
    },
    {
      // The new row has a key without rows before it, and values that Postgres doesn't send.
      name: `renumber ${table}`,
      weight: 3 * weight,
      plan(random) {
        const [from, to] = [id(random), id(random)];
        return from === to
          ? [sql`UPDATE ${name} SET id = id WHERE id = ${from}`]
          : [
              sql`DELETE FROM ${name} WHERE id = ${to}`,
              sql`UPDATE ${name} SET id = ${to}, revision = revision + 1 WHERE id = ${from}`,
            ];
      },
    },
    {
      // Two key changes and an update in between: values travel along a chain.
      name: `chase ${table}`,
      weight,
      plan(random) {
        const [from, by, to] = random.shuffle([...Array(IDS).keys()]).map((place) => place + 1);
        return [
          sql`DELETE FROM ${name} WHERE id IN (${by!}, ${to!})`,
          sql`UPDATE ${name} SET id = ${by!} WHERE id = ${from!}`,
          sql`UPDATE ${name} SET revision = revision + 1 WHERE id = ${by!}`,
          sql`UPDATE ${name} SET id = ${to!} WHERE id = ${by!}`,
        ];
      },
    },
    { name: `drop ${table}`, weight, plan: (random) => [sql`DELETE FROM ${name} WHERE id = ${id(random)}`] },
  ];
}

export const NOTE_OPERATIONS: readonly Operation[] = [...operationsOn("notes", 1), ...operationsOn("pages", 0.6)];
