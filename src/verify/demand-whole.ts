// Whether a stream is to equal the tables at all.
import { AfterimageError } from "../errors.ts";
import type { Progress } from "../event/progress.ts";

/** Throws VERIFY_ORIGIN. */
export function demandWhole({ origin }: Progress): void {
  if (origin === "none") {
    throw new AfterimageError(
      "VERIFY_ORIGIN",
      "The stream leaves out what came into the database by replication (postgres.origin: none): its topics are not to equal the tables.",
      "Verify it without --against-database: sequence, transactions and progress are proved as always.",
    );
  }
}
