// `afterimage snapshot TABLE`: asks the running daemon to read the table's rows while it streams on, or to give that up.
import { AfterimageError } from "../errors.ts";
import { askSnapshot, findDaemon } from "./find-daemon.ts";
import type { Flags } from "./options.ts";

export async function snapshot(table: string, flags: Flags): Promise<void> {
  const { address } = await findDaemon(flags);
  const cancel = flags.cancel === true;
  if (cancel && flags.where !== undefined) {
    throw new AfterimageError(
      "SNAPSHOT_CONDITION",
      "--cancel gives up the whole snapshot of a table and takes no --where.",
      `afterimage snapshot ${table} --cancel`,
    );
  }
  const where = typeof flags.where === "string" ? { where: flags.where } : {};
  const what = { table, ...where, ...(cancel ? { cancel: "yes" as const } : {}) };
  if (address === null || (await askSnapshot(address, what)) === null) {
    throw new AfterimageError(
      "NOT_RUNNING",
      "The daemon's admin address does not answer.",
      "It may be starting or ending; look at its log, or name its admin address with --admin-port.",
    );
  }
  process.stdout.write(
    cancel
      ? `Snapshot of ${table} given up. Views that took a part of it keep that part; a later snapshot sets them right.\n`
      : `Snapshot of ${table} begun; it goes on by itself, also after a restart. afterimage status shows how far it is.\n`,
  );
}
