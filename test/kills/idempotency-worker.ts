// Processes a round's keys in a random order, each until it has an answer, some effects failing on the way. A line for each answer.
// Arguments: store, address or file, seed, round, number of keys.
import { setTimeout as sleep } from "node:timers/promises";
import {
  AfterimageError,
  createIdempotency,
  type Idempotency,
  idempotencyKey,
  postgresKeys,
  sqliteKeys,
} from "../../src/sdk/index.ts";
import { seeded } from "../torture/random.ts";

const [kind, address, seed, round, count] = process.argv.slice(2) as [string, string, string, string, string];
const random = seeded(seed);
class Declined extends Error {}

export interface Answer {
  readonly key: string;
  readonly status: string;
  readonly result: { readonly effect: string };
}

type Process = (key: string, effect: string, declines: boolean) => Promise<{ status: string; result: unknown }>;

function using<Tx>(
  idempotency: Idempotency<Tx>,
  insert: (tx: Tx, key: string, effect: string) => Promise<unknown>,
): Process {
  return (key, effect, declines) =>
    idempotency.process(
      key,
      async (tx) => {
        await insert(tx, key, effect);
        await sleep(random.int(0, 3)); // work, in which a kill or another process with the key may come
        if (declines) throw new Declined();
        return { effect };
      },
      { arguments: { key } },
    );
}

const run: Process =
  kind === "postgres"
    ? using(createIdempotency({ store: postgresKeys(address) }), (tx, key, effect) =>
        tx.query("INSERT INTO effects (key, effect) VALUES ($1, $2)", [key, effect]),
      )
    : using(createIdempotency({ store: sqliteKeys(address) }), async (tx, key, effect) =>
        tx.run("INSERT INTO effects (key, effect) VALUES (?, ?)", key, effect),
      );

const keys = Array.from({ length: Number(count) }, (_, at) => idempotencyKey("round", Number(round), at));
for (const key of random.shuffle(keys)) {
  for (let attempt = 1; ; attempt++) {
    try {
      const answer = await run(key, `${process.pid}-${seed}-${attempt}`, random.chance(0.2));
      process.stdout.write(`${JSON.stringify({ key, ...answer })}\n`);
      break;
    } catch (error) {
      const isLost = error instanceof AfterimageError && /^(OUTCOME_UNKNOWN|POSTGRES_UNREACHABLE)$/.test(error.code);
      const isEnded = error instanceof Error && "code" in error && error.code === "57P01";
      if (!(error instanceof Declined) && !isLost && !isEnded) throw error;
    }
  }
}
process.exit(0);
