// What an operation is: one meaningful change of a table, planned from a seed without asking the database.
import type { Random } from "../../random.ts";
import type { Place, Statement } from "../statement.ts";

export interface Operation {
  readonly name: string;
  /** How often, compared with the others. */
  readonly weight: number;
  plan(random: Random, place: Place): Statement[];
}
