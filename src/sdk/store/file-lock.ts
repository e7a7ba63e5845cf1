// An exclusive lock on a file that ends with its process, however that dies. Readers of the file are not hindered.
import { DatabaseSync } from "node:sqlite";
import { AfterimageError } from "../../errors.ts";
import { isBusy } from "./sqlite-errors.ts";

export interface FileLock {
  release(): void;
}

/**
 * Locks `<file>-lock`, an empty SQLite database beside the file: SQLite's own byte-range lock is held by the
 * operating system for as long as the process lives. The view's file itself stays unlocked, so that other
 * connections can read it. https://www.sqlite.org/lockingv3.html
 * @throws STORE_IS_LOCKED when another process, or another store in this one, holds it.
 */
export function lockFile(file: string): FileLock {
  const lock = new DatabaseSync(`${file}-lock`, { timeout: 0 });
  try {
    lock.exec("BEGIN EXCLUSIVE");
  } catch (cause) {
    lock.close();
    if (!isBusy(cause)) {
      throw cause;
    }
    throw new AfterimageError(
      "STORE_IS_LOCKED",
      `Another consumer is using ${file}.`,
      "Stop it first, or give this consumer a file of its own. Reading the file with other programs is fine.",
    );
  }
  return { release: () => lock.close() };
}
