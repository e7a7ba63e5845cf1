// Appends of unique elements: what a reader sees of a list must be a prefix of every later look at it.
import { type Place, sql } from "../statement.ts";
import type { Operation } from "./operation.ts";

/** Writers move on to new lists with time, so that no list grows for ever. */
const LISTS_AT_A_TIME = 8;
const TRANSACTIONS_FOR_THEM = 40;

function anyList(random: { int(low: number, high: number): number }, { number }: Place): number {
  return Math.floor(number / TRANSACTIONS_FOR_THEM) * LISTS_AT_A_TIME + random.int(0, LISTS_AT_A_TIME - 1);
}

// A transaction may append several times: `part` comes of its own stream and tells them apart.
const append = (id: number, { writer, number }: Place, part: number) =>
  sql`INSERT INTO public.lists VALUES (${id}, ARRAY[${`${writer}-${number}-${part}`}])
      ON CONFLICT (id) DO UPDATE SET elements = lists.elements || EXCLUDED.elements`;

const UNIQUE_PART = 2 ** 40;

export const LIST_OPERATIONS: readonly Operation[] = [
  {
    name: "append",
    weight: 12,
    plan: (random, place) => [append(anyList(random, place), place, random.int(0, UNIQUE_PART))],
  },
  {
    name: "append to two",
    weight: 4,
    plan(random, place) {
      const [one, other] = [anyList(random, place), anyList(random, place)];
      return [append(one, place, random.int(0, UNIQUE_PART)), append(other, place, random.int(0, UNIQUE_PART))];
    },
  },
];
