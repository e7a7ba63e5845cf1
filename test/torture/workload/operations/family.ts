// Foreign keys: rows that change because other rows do, and a check that waits until COMMIT.
import { rows, sql } from "../statement.ts";
import type { Operation } from "./operation.ts";

const PARENTS = 24;

const parent = (random: { int(low: number, high: number): number }) => random.int(1, PARENTS);

export const FAMILY_OPERATIONS: readonly Operation[] = [
  {
    name: "bear",
    weight: 5,
    plan(random) {
      const id = parent(random);
      return [
        sql`INSERT INTO public.parents VALUES (${id}, ${random.text(8)}) ON CONFLICT DO NOTHING`,
        sql`INSERT INTO public.children (parent_id, name)
            SELECT id, 'child ' || g FROM public.parents, generate_series(1, ${random.int(1, 3)}) g WHERE id = ${id}`,
      ];
    },
  },
  {
    name: "cascading delete",
    weight: 3,
    plan: (random) => [sql`DELETE FROM public.parents WHERE id IN (${parent(random)}, ${parent(random)})`],
  },
  {
    name: "cascading key change",
    weight: 2,
    plan(random) {
      const to = parent(random);
      return [
        sql`UPDATE public.parents SET id = ${to} WHERE id = ${parent(random)}
            AND NOT EXISTS (SELECT FROM public.parents WHERE id = ${to})`,
      ];
    },
  },
  {
    name: "ward before parent",
    weight: 2,
    plan(random) {
      const id = parent(random);
      return [
        sql`INSERT INTO public.wards (parent_id, name) VALUES (${id}, ${random.text(5)})`,
        sql`INSERT INTO public.parents VALUES (${id}, ${random.text(5)}) ON CONFLICT DO NOTHING`,
        sql`DELETE FROM public.wards WHERE parent_id IS NULL`,
      ];
    },
  },
];

/** Refused at COMMIT: nothing of its transaction may ever be seen. */
export const ORPHAN: Operation = {
  name: "orphan",
  weight: 1,
  plan: (random) => [
    sql`INSERT INTO public.wards (parent_id, name) VALUES ${rows([
      [-random.int(1, 1_000_000), "has no parent"],
      [-random.int(1, 1_000_000), "nor has this one"],
    ])}`,
  ],
};
