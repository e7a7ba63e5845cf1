// Reads, writes and compares a few registers at random, over several connections at once. Each call is said before it is made,
// and its answer when it is there. Arguments: address, seed, number of operations, number of clients.
import { writeSync } from "node:fs";
import { LinearizableStore } from "../../src/sdk/index.ts";
import { seeded } from "../torture/random.ts";
import type { Operation } from "./history.ts";

const [url, seed, operations, clients] = process.argv.slice(2) as [string, string, string, string];
const store = new LinearizableStore({ postgres: url });

export type Line = Operation & { readonly id: number };

// At once: what is in a buffer dies with the process.
const say = (line: object) => writeSync(1, `${JSON.stringify(line)}\n`);
const now = () => Number(process.hrtime.bigint());
let ids = 0;

async function client(number: number): Promise<void> {
  const random = seeded(`${seed}/${number}`);
  // A few values, so that comparisons succeed; null among them.
  const value = () => (random.chance(0.15) ? null : random.int(1, 4));
  for (let at = 0; at < Number(operations); at++) {
    const kind = random.pick(["read", "write", "compareAndSet", "compareAndSet"] as const);
    const [key, expected, next] = [`r${random.int(0, 1)}`, value(), value()];
    const call = {
      id: ids++,
      client: number,
      key,
      kind,
      expected: JSON.stringify(expected),
      value: JSON.stringify(next),
      called: now(),
    };
    say(call);
    try {
      if (kind === "read") {
        const found = JSON.stringify(await store.read(key));
        say({ ...call, value: found, returned: now() });
      } else if (kind === "write") {
        await store.write(key, next);
        say({ ...call, returned: now() });
      } else {
        const did = await store.compareAndSet(key, expected, next);
        say({ ...call, did, returned: now() });
      }
    } catch (error) {
      // Cut off: what became of it is not known, or it did not happen. The history has it as not answered.
      const code = error instanceof Error && "code" in error ? String(error.code) : "";
      if (!["OUTCOME_UNKNOWN", "POSTGRES_UNREACHABLE", "57P01"].includes(code)) throw error;
    }
  }
}

await Promise.all(Array.from({ length: Number(clients) }, (_, number) => client(number)));
process.exit(0);
