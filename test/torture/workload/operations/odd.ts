// Tables without a record key, names and values nobody would choose, values of every type, and logical messages.

import { ODD_TABLE, SWAPPED_ROWS } from "../setup.ts";
import { list, raw, sql } from "../statement.ts";
import { TYPED_COLUMNS } from "../typed-table.ts";
import type { Operation } from "./operation.ts";

const ODD_VALUES = [
  "'; DROP TABLE public.accounts; --",
  '"quoted"',
  "\u001b[31mred\u001b[0m\r\n",
  "\u2028\u2029",
  "\\x00 \\u0000 \\",
  "$$",
  "__proto__",
  "NULL",
  "",
  "漢字😀",
];

const odd = raw(ODD_TABLE);

export const ODD_OPERATIONS: readonly Operation[] = [
  {
    // Each row takes the key of the next one, inside one statement.
    name: "rotate",
    weight: 2,
    plan: () => [sql`UPDATE public.swapped SET id = id % ${SWAPPED_ROWS} + 1`],
  },
  {
    name: "rename swapped",
    weight: 2,
    plan: (random) => [
      sql`UPDATE public.swapped SET owner = ${random.text(6)} WHERE id = ${random.int(1, SWAPPED_ROWS)}`,
    ],
  },
  {
    name: "heap insert",
    weight: 3,
    plan(random) {
      const row = raw(`(${random.int(1, 5)}, ${random.chance(0.3) ? "NULL" : "'same'"}, ${random.int(1, 2)})`);
      return [sql`INSERT INTO public.heap VALUES ${row}, ${row}`];
    },
  },
  {
    name: "heap change",
    weight: 2,
    plan: (random) => [
      random.chance(0.5)
        ? sql`UPDATE public.heap SET c = c % 3 + 1 WHERE a = ${random.int(1, 5)}`
        : sql`DELETE FROM public.heap WHERE a = ${random.int(1, 5)} AND c = ${random.int(1, 3)}`,
    ],
  },
  {
    name: "odd upsert",
    weight: 4,
    plan: (random) => [
      sql`INSERT INTO ${odd} VALUES (${random.int(-9, 9)}, ${random.pick(ODD_VALUES)}, ${random.int(0, 9)},
            ${random.pick(ODD_VALUES)}, ${random.pick(ODD_VALUES)})
          ON CONFLICT ("__proto__") DO UPDATE SET "constructor" = EXCLUDED."constructor", "ключ😀" = EXCLUDED."ключ😀"`,
    ],
  },
  {
    name: "odd change",
    weight: 2,
    plan(random) {
      const [from, to] = [random.int(-9, 9), random.int(-9, 9)];
      return random.chance(0.5)
        ? [sql`DELETE FROM ${odd} WHERE "__proto__" = ${from}`]
        : [
            sql`UPDATE ${odd} SET "__proto__" = ${to} WHERE "__proto__" = ${from}
                AND NOT EXISTS (SELECT FROM ${odd} WHERE "__proto__" = ${to})`,
          ];
    },
  },
  {
    name: "typed upsert",
    weight: 6,
    plan(random) {
      const values = TYPED_COLUMNS.map(({ values }) => (random.chance(0.1) ? "NULL" : random.pick(values)));
      const set = TYPED_COLUMNS.map(({ name }) => `"${name}" = EXCLUDED."${name}"`);
      return [
        sql`INSERT INTO public.typed VALUES (${random.int(1, 30)}, ${raw(values.join(", "))})
            ON CONFLICT (id) DO UPDATE SET ${raw(set.join(", "))}`,
      ];
    },
  },
  {
    name: "typed delete",
    weight: 1,
    plan: (random) => [sql`DELETE FROM public.typed WHERE id IN (${list([random.int(1, 30), random.int(1, 30)])})`],
  },
  {
    name: "message",
    weight: 3,
    plan: (random) => [
      sql`SELECT pg_logical_emit_message(${random.chance(0.7)}, 'torture', ${random.text(random.int(0, 300))})`,
    ],
  },
];
