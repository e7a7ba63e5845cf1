// The mixed run of CI: every version of Postgres, one and three Kafka nodes, in a few minutes.
import type { RunOptions } from "./plan.ts";

/** Four histories, so that each version of Postgres has its turn. */
export const SHORT_RUN: Omit<RunOptions, "seed"> = { rounds: 20, roundsPerHistory: 5 };
