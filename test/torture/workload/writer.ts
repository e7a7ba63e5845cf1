// One writer: sends the transactions of its plan one after the other, through whatever happens to the server.
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { Counters } from "./counters.ts";
import type { Ending, Planner, TransactionPlan } from "./plan.ts";
import { ConnectionLost, isExpected, Session } from "./session.ts";
import { literal, raw, sql } from "./statement.ts";

interface Prepared {
  readonly gid: string;
  readonly decision: "commit" | "rollback";
  /** How many transactions of this writer come before the decision. */
  left: number;
}

export interface WriterOptions {
  readonly url: string;
  readonly planner: Planner;
  readonly counters: Counters;
  /** Begins the names of its prepared transactions, which all databases of a server share. */
  readonly gidPrefix: string;
  /** Transactions a second, at most. */
  readonly rate: number;
  /** Resolves when the next transaction may begin. */
  readonly turn: () => Promise<void>;
  readonly stopped: AbortSignal;
}

const UNDEFINED_OBJECT = "42704"; // there is no such prepared transaction: it has ended
const OBJECT_IN_USE = "55006"; // another session is ending it

export class Writer {
  readonly #options: WriterOptions;
  readonly #session: Session;
  #prepared: Prepared | null = null;
  #number = 0;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#session = new Session(options.url);
  }

  /** Writes until it is stopped. Rejects with the first error that a fault doesn't explain. */
  async run(): Promise<void> {
    const { planner, rate, turn, stopped } = this.#options;
    const pace = 1000 / rate;
    let due = performance.now();
    let plan: TransactionPlan | null = null;
    try {
      while (!stopped.aborted) {
        await turn();
        if (stopped.aborted || !(await this.#session.connect(stopped))) break;
        plan ??= planner.next();
        if (this.#prepared !== null && this.#isDue(this.#prepared, plan)) {
          await this.#decide(this.#prepared);
          continue;
        }
        await this.#perform(plan);
        plan = null;
        // Time that a fault took is not made up for.
        due = Math.max(due + pace, performance.now() - 100);
        const ahead = due - performance.now();
        if (ahead > 1) await sleep(ahead, undefined, { signal: stopped }).catch(() => undefined); // stopped
      }
    } finally {
      await this.#session.close();
    }
  }

  async #perform(plan: TransactionPlan): Promise<void> {
    const { counters, gidPrefix } = this.#options;
    const gid = `${gidPrefix}${this.#number++}`;
    counters.begun();
    let rows = 0;
    try {
      for (const statement of around(plan, gid)) {
        rows += await this.#session.run(statement);
      }
      counters.ended(plan, rows);
    } catch (error) {
      if (!(error instanceof ConnectionLost) && !isExpected(error)) throw unexpected(error, plan);
      counters.failed(error instanceof ConnectionLost ? "connection lost" : error.code);
    }
    if (this.#prepared !== null) this.#prepared.left--;
    // Whether it was prepared is not known after a lost connection: the decision finds out.
    if (plan.ending.kind === "prepare") {
      this.#prepared = { gid, decision: plan.ending.decision, left: plan.ending.after };
    }
  }

  /** One at a time: the next one needs it to be out of its way, and the server allows only so many. */
  #isDue(prepared: Prepared, next: TransactionPlan): boolean {
    return prepared.left <= 0 || next.ending.kind === "prepare";
  }

  async #decide(prepared: Prepared): Promise<void> {
    const { counters } = this.#options;
    const command = prepared.decision === "commit" ? "COMMIT PREPARED" : "ROLLBACK PREPARED";
    try {
      await this.#session.run(sql`${raw(command)} ${raw(literal(prepared.gid))}`);
      counters.decided(prepared.decision);
      this.#prepared = null;
    } catch (error) {
      if (error instanceof ConnectionLost) return;
      if (error instanceof pg.DatabaseError && error.code === UNDEFINED_OBJECT) {
        this.#prepared = null;
      } else if ((error instanceof pg.DatabaseError && error.code === OBJECT_IN_USE) || isExpected(error)) {
        await sleep(20); // before it tries again
      } else {
        throw error;
      }
    }
  }
}

function* around(plan: TransactionPlan, gid: string): Generator<TransactionPlan["statements"][number]> {
  const begin = `BEGIN ISOLATION LEVEL ${plan.isolation.toUpperCase()}`;
  const end = closing(plan.ending, gid);
  if (end === null) {
    yield* plan.statements;
  } else if (plan.together) {
    const texts = plan.statements.map((statement) => ("sql" in statement ? statement.sql : ""));
    yield { sql: [begin, ...texts, end].join("; ") };
  } else {
    yield { sql: begin };
    yield* plan.statements;
    yield { sql: end };
  }
}

function closing(ending: Ending, gid: string): string | null {
  switch (ending.kind) {
    case "none":
      return null;
    case "commit":
      return "COMMIT";
    case "rollback":
      return "ROLLBACK";
    case "prepare":
      return `PREPARE TRANSACTION ${literal(gid)}`;
    default:
      throw ending satisfies never;
  }
}

function unexpected(error: unknown, plan: TransactionPlan): Error {
  const statements = JSON.stringify(plan.statements).slice(0, 4_000);
  return new Error(
    `A ${plan.frame} transaction of ${plan.operations.join(", ")} was refused: ${error}. ${statements}`,
    {
      cause: error,
    },
  );
}
