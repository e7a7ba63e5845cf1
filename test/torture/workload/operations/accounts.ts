// Transfers between accounts: each operation by itself keeps the sum of the balances, whatever stands in the table.

import { ACCOUNTS, FLEETING_ACCOUNTS } from "../setup.ts";
import { sql } from "../statement.ts";
import type { Operation } from "./operation.ts";

// Both accounts are fixed ones, which are never closed, so both updates hit their row or, before the seed, none does.
const transfer = (name: string, weight: number, accounts: number): Operation => ({
  name,
  weight,
  plan(random) {
    const from = random.int(1, accounts);
    const to = ((from + random.int(0, accounts - 2)) % accounts) + 1;
    const amount = random.int(1, 50);
    return [
      sql`UPDATE public.accounts SET balance = balance - ${amount}, changes = changes + 1 WHERE id = ${from}`,
      sql`UPDATE public.accounts SET balance = balance + ${amount}, changes = changes + 1 WHERE id = ${to}`,
    ];
  },
});

const { from: FIRST, to: LAST } = FLEETING_ACCOUNTS;

export const ACCOUNT_OPERATIONS: readonly Operation[] = [
  transfer("transfer", 14, ACCOUNTS),
  // Among so few accounts, in any order, writers run into deadlocks.
  transfer("hot transfer", 8, 3),
  {
    name: "pay all",
    weight: 2,
    plan(random) {
      const payer = random.int(1, ACCOUNTS);
      return [
        sql`UPDATE public.accounts SET changes = changes + 1,
              balance = balance + CASE WHEN id = ${payer} THEN -5 ELSE 1 END
            WHERE id IN (${payer}, ${(payer % ACCOUNTS) + 1}, ${((payer + 1) % ACCOUNTS) + 1}, ${((payer + 2) % ACCOUNTS) + 1},
              ${((payer + 3) % ACCOUNTS) + 1}, ${((payer + 4) % ACCOUNTS) + 1})`,
      ];
    },
  },
  {
    name: "open account",
    weight: 3,
    plan(random) {
      const id = random.int(FIRST, LAST);
      const amount = random.int(1, 100);
      return [
        sql`WITH paid AS (UPDATE public.accounts SET balance = balance - ${amount} WHERE id = ${random.int(1, ACCOUNTS)}
              AND NOT EXISTS (SELECT FROM public.accounts WHERE id = ${id}) RETURNING id)
            INSERT INTO public.accounts (id, balance) SELECT ${id}, ${amount} FROM paid`,
      ];
    },
  },
  {
    name: "close account",
    weight: 2,
    plan: (random) => [
      sql`WITH closed AS (DELETE FROM public.accounts WHERE id = ${random.int(FIRST, LAST)} RETURNING balance)
          UPDATE public.accounts SET balance = accounts.balance + closed.balance FROM closed
          WHERE id = ${random.int(1, ACCOUNTS)}`,
    ],
  },
  {
    name: "renumber account",
    weight: 2,
    plan(random) {
      const to = random.int(FIRST, LAST);
      return [
        sql`UPDATE public.accounts SET id = ${to} WHERE id = ${random.int(FIRST, LAST)}
            AND NOT EXISTS (SELECT FROM public.accounts WHERE id = ${to})`,
      ];
    },
  },
];
