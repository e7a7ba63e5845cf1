// What a workload did so far.
import type { TransactionPlan } from "./plan.ts";

export class Counters {
  /** That were begun, whatever became of them. */
  transactions = 0;
  committed = 0;
  /** On purpose. */
  rolledBack = 0;
  prepared = 0;
  /** Prepared transactions by how they ended. */
  readonly decisions = { commit: 0, rollback: 0 };
  /** As the server counted them for statements of committed and prepared transactions: with what savepoints undid. */
  rows = 0;
  /** SQLSTATE, or `connection lost`, to how often. */
  readonly errors = new Map<string, number>();
  /** Frame to how often it came to its planned end. */
  readonly frames = new Map<string, number>();
  /** Operation to how often a transaction with it came to its planned end. */
  readonly operations = new Map<string, number>();

  begun(): void {
    this.transactions++;
  }

  ended(plan: TransactionPlan, rows: number): void {
    if (plan.ending.kind === "rollback") {
      this.rolledBack++;
    } else {
      this.rows += rows;
      if (plan.ending.kind === "prepare") this.prepared++;
      else this.committed++;
    }
    count(this.frames, plan.frame);
    for (const operation of plan.operations) count(this.operations, operation);
  }

  failed(reason: string): void {
    count(this.errors, reason);
  }

  decided(decision: "commit" | "rollback"): void {
    this.decisions[decision]++;
  }
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
