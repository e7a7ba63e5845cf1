// Books at random between a few accounts. A line for each booking that is known to have been made or refused.
// Arguments: address, seed, number of bookings.
import { Bank } from "../../src/sample/bank/bank.ts";
import { seeded } from "../torture/random.ts";

const [url, seed, count] = process.argv.slice(2) as [string, string, string];
const random = seeded(seed);
const bank = new Bank(url);

export interface Booked {
  readonly reference: string;
  readonly made: boolean;
}

const say = (booked: Booked) => process.stdout.write(`${JSON.stringify(booked)}\n`);

for (let at = 0; at < Number(count); at++) {
  const reference = `${process.pid}-${seed}-${at}`;
  const [from, to] = random.shuffle(["A", "B", "C"]) as [string, string, string];
  const cents = random.int(1, 60);
  try {
    if (random.chance(0.3)) await bank.deposit(from, cents, reference);
    else if (random.chance(0.4)) await bank.withdraw(from, cents, reference);
    else await bank.transfer(from, to, cents, reference);
    say({ reference, made: true });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (code === "FUNDS_INSUFFICIENT") say({ reference, made: false });
    // Cut off: rolled back, or nobody knows. Asking again would be another booking.
    else if (!["OUTCOME_UNKNOWN", "POSTGRES_UNREACHABLE", "57P01"].includes(code)) throw error;
  }
}
process.exit(0);
