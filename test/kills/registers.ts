// Registers under SIGKILL: processes with several clients each work on the same two, one of them is killed between requests and
// answers, connections are cut. Every round's history has to be linearizable.
import { fileURLToPath } from "node:url";
import type pg from "pg";
import { waitFor } from "../../dev/servers/wait-for.ts";
import { LinearizableStore } from "../../src/sdk/index.ts";
import type { Random } from "../torture/random.ts";
import { Worker } from "./child.ts";
import { buildJudge, type Operation } from "./history.ts";
import type { Line } from "./register-worker.ts";

const WORKER = fileURLToPath(new URL("register-worker.ts", import.meta.url));
const OPERATIONS = 20;
const CLIENTS = 3;

const CUT = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE datname = current_database() AND application_name = 'afterimage registers' AND state = 'active'`;

const AT_WORK = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'
  AND application_name = 'afterimage registers'`;

/** Throws with what is wrong. */
export async function registersUnderKills(
  url: string,
  client: pg.Client,
  rounds: number,
  random: Random,
): Promise<object> {
  const { judge, remove } = buildJudge();
  const store = new LinearizableStore({ postgres: url });
  let [kills, operations, unanswered] = [0, 0, 0];
  try {
    for (let round = 0; round < rounds; round++) {
      // A statement of a process that was killed may still be at work; the next round must not meet it.
      await waitFor(async () => (await client.query(AT_WORK)).rows.length === 0, {
        what: "the last round's statements",
      });
      const first: Operation[] = [];
      for (const key of ["r0", "r1"]) {
        await store.write(key, null);
        first.push({ client: 0, key, kind: "write", value: "null", called: 0, returned: 1 });
      }
      const work = async (killAfter: number | null) => {
        const worker = new Worker([WORKER, url, String(random.int(0, 2 ** 31)), String(OPERATIONS), String(CLIENTS)]);
        if (killAfter !== null) worker.killAfter(killAfter);
        if (await worker.ended()) kills++;
        return worker.lines<Line>();
      };
      const cut = random.chance(0.3) ? client.query(CUT) : null;
      const said = await Promise.all([
        work(random.int(1, OPERATIONS * CLIENTS)),
        work(null),
        work(random.chance(0.3) ? random.int(1, OPERATIONS * CLIENTS) : null),
        cut,
      ]);
      const last: Operation[] = [];
      for (const key of ["r0", "r1"]) {
        const called = Number(process.hrtime.bigint());
        const value = JSON.stringify(await store.read(key));
        last.push({ client: 0, key, kind: "read", value, called, returned: Number(process.hrtime.bigint()) });
      }
      const history = [...first, ...said.slice(0, 3).flatMap((lines, at) => historyOf(lines as Line[], at)), ...last];
      operations += history.length;
      unanswered += history.filter(({ returned }) => returned === undefined).length;
      const verdict = await judge(history);
      if (verdict !== "linearizable") {
        throw new Error(`Round ${round}: ${verdict}\n${history.map((one) => JSON.stringify(one)).join("\n")}`);
      }
    }
  } finally {
    await store.close();
    remove();
  }
  return { kills, operations, unanswered };
}

/** The last line about an operation is the one that counts. Reads without an answer have told nobody anything. */
function historyOf(lines: readonly Line[], process: number): Operation[] {
  const byId = new Map(lines.map((line) => [line.id, line]));
  return [...byId.values()]
    .filter(({ kind, returned }) => kind !== "read" || returned !== undefined)
    .map(({ id: _, ...operation }) => ({ ...operation, client: process * CLIENTS + operation.client + 1 }));
}
