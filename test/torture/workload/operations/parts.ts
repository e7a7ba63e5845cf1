// A partitioned table, one of whose partitions is partitioned itself: rows move, partitions are emptied.
import type { Random } from "../../random.ts";
import { raw, rows, sql } from "../statement.ts";
import type { Operation } from "./operation.ts";

const bucket = (random: Random) => random.int(0, 29);
const id = (random: Random) => random.int(1, 6);

export const PART_OPERATIONS: readonly Operation[] = [
  {
    name: "fill parts",
    weight: 6,
    plan(random) {
      const buckets = random.shuffle([...Array(30).keys()]).slice(0, random.int(1, 4));
      return [
        sql`INSERT INTO public.parts VALUES ${rows(buckets.map((one) => [one, id(random), random.text(10)]))}
            ON CONFLICT (bucket, id) DO UPDATE SET value = EXCLUDED.value`,
      ];
    },
  },
  {
    name: "move part",
    weight: 5,
    plan(random) {
      const to = bucket(random);
      return [
        sql`UPDATE public.parts p SET bucket = ${to} WHERE bucket = ${bucket(random)} AND bucket <> ${to}
            AND NOT EXISTS (SELECT FROM public.parts o WHERE o.bucket = ${to} AND o.id = p.id)`,
      ];
    },
  },
  {
    name: "update parts",
    weight: 2,
    plan: (random) => [sql`UPDATE public.parts SET value = ${random.text(6)} WHERE id = ${id(random)}`],
  },
  { name: "delete parts", weight: 1, plan: (random) => [sql`DELETE FROM public.parts WHERE id = ${id(random)}`] },
  {
    name: "truncate part",
    weight: 1,
    plan(random) {
      const leaf = random.pick(["parts_low", '"Parts mid"', "parts_high", "parts_high_rest"]);
      return [sql`TRUNCATE ${raw(`public.${leaf}`)}`];
    },
  },
  { name: "truncate parts", weight: 0.5, plan: () => [sql`TRUNCATE public.parts`] },
];
