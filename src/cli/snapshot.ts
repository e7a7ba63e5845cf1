// `afterimage snapshot TABLE`: asks the running daemon to read the table's rows while it streams on.
import { AfterimageError } from "../errors.ts";
import { askSnapshot, findDaemon } from "./find-daemon.ts";
import type { Flags } from "./options.ts";

export async function snapshot(table: string, flags: Flags): Promise<void> {
  const { address } = await findDaemon(flags);
  const where = typeof flags.where === "string" ? flags.where : null;
  if (address === null || (await askSnapshot(address, table, where)) === null) {
    throw new AfterimageError(
      "NOT_RUNNING",
      "The daemon's admin address does not answer.",
      "It may be starting or ending; look at its log, or name its admin address with --admin-port.",
    );
  }
  process.stdout.write(
    `Snapshot of ${table} begun; it goes on by itself, also after a restart. afterimage status shows how far it is.\n`,
  );
}
