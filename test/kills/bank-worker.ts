// Books at random between a few accounts, with several clients at once. A line for each booking that is known to have been made
// or refused. Arguments: address, seed, number of bookings, number of clients.
import { Bank } from "../../src/sample/bank/bank.ts";
import { seeded } from "../torture/random.ts";

const [url, seed, bookings, clients] = process.argv.slice(2) as [string, string, string, string];
const bank = new Bank(url);

export interface Booked {
  readonly reference: string;
  readonly made: boolean;
}

const say = (booked: Booked) => process.stdout.write(`${JSON.stringify(booked)}\n`);

async function client(number: number): Promise<void> {
  const random = seeded(`${seed}/${number}`);
  for (let at = 0; at < Number(bookings); at++) {
    const reference = `${process.pid}-${seed}-${number}-${at}`;
    const [from, to] = random.shuffle(["A", "B", "C"]) as [string, string, string];
    // Mostly as much as an account has: whoever decides on an old balance goes below zero.
    const cents = random.int(40, 60);
    try {
      if (random.chance(0.3)) await bank.deposit(from, cents, reference);
      else if (random.chance(0.5)) await bank.withdraw(from, cents, reference);
      else await bank.transfer(from, to, cents, reference);
      say({ reference, made: true });
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "";
      if (code === "FUNDS_INSUFFICIENT") say({ reference, made: false });
      // Cut off: rolled back, or nobody knows. Asking again would be another booking.
      else if (!["OUTCOME_UNKNOWN", "POSTGRES_UNREACHABLE", "57P01"].includes(code)) throw error;
    }
  }
}

await Promise.all(Array.from({ length: Number(clients) }, (_, number) => client(number)));
process.exit(0);
