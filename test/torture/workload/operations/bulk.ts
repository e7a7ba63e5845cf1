// Transactions of many rows, and WAL that is none of a stream's business.
import { ownBase, sql } from "../statement.ts";
import type { Operation } from "./operation.ts";

/** Most are of some hundreds of rows, one in four has thousands. */
export const bulk = (most: number): Operation => ({
  name: "bulk",
  weight: 1,
  plan(random, place) {
    const count = random.chance(0.25)
      ? random.int(Math.min(5_000, most), most)
      : random.int(200, Math.min(1_500, most));
    const base = ownBase(place);
    return [
      sql`INSERT INTO public.bulk SELECT g, 'row ' || g || repeat('.', ${random.int(0, 60)})
          FROM generate_series(${base}, ${base + BigInt(count - 1)}) g`,
      sql`UPDATE public.bulk SET note = 'again' WHERE id BETWEEN ${base} AND ${base + 50n}`,
      sql`DELETE FROM public.bulk WHERE id BETWEEN ${base} AND ${base + BigInt(count)} AND id % 3 = 0`,
      // What this writer left the time before.
      sql`DELETE FROM public.bulk WHERE id >= ${ownBase({ ...place, number: 0 })} AND id < ${base}`,
    ];
  },
});

export const COPY: Operation = {
  name: "copy",
  weight: 1,
  plan(random, place) {
    const base = ownBase(place);
    const lines = Array.from({ length: 1_000 }, (_, at) => {
      const label = random.chance(0.05) ? "\\N" : `line\\t${at} \\\\ ${random.text(5)}`;
      return `${base + BigInt(at)}\t${label}\t${random.int(-1000, 1000)}.${random.int(10, 99)}\n`;
    });
    return [
      sql`DELETE FROM public.copied WHERE id >= ${ownBase({ ...place, number: 0 })} AND id < ${base}`,
      { copy: "COPY public.copied (id, label, amount) FROM STDIN", rows: lines.join("") },
    ];
  },
};

/** Into several partitions at once. */
export const COPY_PARTS: Operation = {
  name: "copy parts",
  weight: 1,
  plan(random) {
    const keys = random.shuffle(Array.from({ length: 30 * 4 }, (_, at) => [at % 30, 7 + Math.floor(at / 30)] as const));
    return [
      sql`DELETE FROM public.parts WHERE id BETWEEN 7 AND 10`,
      {
        copy: "COPY public.parts FROM STDIN",
        rows: keys.map(([bucket, id]) => `${bucket}\t${id}\tcopied\n`).join(""),
      },
    ];
  },
};

export const UNRELATED: Operation = {
  name: "unrelated",
  weight: 1,
  plan: (random) => [
    sql`INSERT INTO public.unrelated (value) SELECT 'unrelated' FROM generate_series(1, ${random.int(1, 200)})`,
    sql`DELETE FROM public.unrelated WHERE id % 2 = 0`,
  ],
};
