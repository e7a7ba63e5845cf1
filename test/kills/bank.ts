// The bank under SIGKILL: processes book between the same accounts, one is killed in the middle, connections are cut, and a
// reader follows all events meanwhile. The ledger is then judged from the table alone, by other code than the store's.
import { setImmediate as nextTurn } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type pg from "pg";
import { EventStore } from "../../src/sdk/index.ts";
import type { Random } from "../torture/random.ts";
import type { Booked } from "./bank-worker.ts";
import { Worker } from "./child.ts";

const WORKER = fileURLToPath(new URL("bank-worker.ts", import.meta.url));
const BOOKINGS = 12;
const CLIENTS = 4;

interface Row {
  readonly position: string;
  readonly stream: string;
  readonly version: string;
  readonly type: string;
  readonly data: { readonly cents: number; readonly other?: string; readonly reference: string };
}

/** Throws with what is wrong. */
export async function bankUnderKills(url: string, client: pg.Client, rounds: number, random: Random): Promise<object> {
  const told: Booked[] = [];
  let kills = 0;
  const work = async (killAfter: number | null) => {
    const worker = new Worker([WORKER, url, String(random.int(0, 2 ** 31)), String(BOOKINGS), String(CLIENTS)]);
    if (killAfter !== null) worker.killAfter(killAfter);
    if (await worker.ended()) kills++;
    told.push(...worker.lines<Booked>());
  };
  const reader = followEvents(url);
  try {
    for (let round = 0; round < rounds; round++) {
      const cut = random.chance(0.3) ? client.query(CUT) : null;
      await Promise.all([work(random.int(1, BOOKINGS * CLIENTS - 1)), work(null), cut]);
    }
  } finally {
    await reader.stop();
  }
  const { rows } = await client.query<Row>(
    "SELECT position, stream, version, type, data FROM afterimage.events ORDER BY position",
  );
  const problems = [...(await reader.problems(rows)), ...judge(rows, told)];
  if (problems.length > 0) throw new Error(problems.slice(0, 20).join("\n"));
  return { kills, events: rows.length, made: told.filter(({ made }) => made).length, reads: reader.reads() };
}

const CUT = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE datname = current_database() AND application_name = 'afterimage events' AND query LIKE '%append_events%'`;

/** Reads on from where it is, as a projection would: what it has seen is all there is up to there, whenever it looks. */
function followEvents(url: string) {
  const store = new EventStore({ postgres: url });
  const seen: string[] = [];
  const found: string[] = [];
  let [stopping, reads] = [false, 0];
  const advance = async () => {
    const events = await store.readAll({ from: seen.length }).catch((error: unknown) => {
      if ((error as { code?: string }).code !== "57P01") throw error;
      return [];
    });
    reads++;
    for (const { position, stream, version } of events) {
      if (position !== seen.length + 1) found.push(`position ${position} was read after ${seen.length}`);
      seen.push(`${position} ${stream} ${version}`);
    }
  };
  const running = (async () => {
    while (!stopping) {
      await advance();
      await nextTurn();
    }
    await advance();
  })();
  return {
    reads: () => reads,
    async stop() {
      stopping = true;
      await running;
      await store.close();
    },
    async problems(rows: readonly Row[]) {
      const all = rows.map(({ position, stream, version }) => `${position} ${stream} ${version}`);
      const differs = all.findIndex((row, at) => row !== seen[at]);
      if (differs >= 0) found.push(`the reader got ${seen[differs]}, and the table has ${all[differs]}`);
      return found;
    },
  };
}

function judge(rows: readonly Row[], told: readonly Booked[]): string[] {
  const problems: string[] = [];
  const balances = new Map<string, number>();
  const versions = new Map<string, number>();
  const bookings = new Map<string, Row[]>();
  rows.forEach((row, at) => {
    if (Number(row.position) !== at + 1) problems.push(`position ${at + 1} is ${row.position}`);
    const version = (versions.get(row.stream) ?? 0) + 1;
    versions.set(row.stream, version);
    if (Number(row.version) !== version) problems.push(`version ${version} of ${row.stream} is ${row.version}`);
    const change = /^(Deposited|TransferReceived)$/.test(row.type) ? row.data.cents : -row.data.cents;
    const balance = (balances.get(row.stream) ?? 0) + change;
    balances.set(row.stream, balance);
    if (balance < 0) problems.push(`${row.stream} is at ${balance} after position ${row.position}`);
    bookings.set(row.data.reference, [...(bookings.get(row.data.reference) ?? []), row]);
  });
  for (const [reference, legs] of bookings) {
    const [first, second] = legs;
    const isTransfer = first!.type === "TransferSent";
    const whole = isTransfer
      ? legs.length === 2 &&
        second!.type === "TransferReceived" &&
        Number(second!.position) === Number(first!.position) + 1 &&
        second!.stream === `account-${first!.data.other}` &&
        first!.stream === `account-${second!.data.other}` &&
        first!.data.cents === second!.data.cents
      : legs.length === 1;
    if (!whole) problems.push(`booking ${reference} is torn or double: ${legs.map(({ type }) => type).join(", ")}`);
  }
  for (const { reference, made } of told) {
    if (made !== bookings.has(reference)) {
      problems.push(`booking ${reference} was told to be ${made ? "made and is not there" : "refused and is there"}`);
    }
  }
  return problems;
}
