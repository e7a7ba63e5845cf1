// SQLite's result codes, by number: https://www.sqlite.org/rescode.html
import { AfterimageError } from "../../errors.ts";

const BUSY = 5;
const PRIMARY_CODE = 0xff;

/** The extended result code of an error of node:sqlite; undefined for any other error. */
export function sqliteCode(thrown: unknown): number | undefined {
  return thrown instanceof Error && "errcode" in thrown && typeof thrown.errcode === "number"
    ? thrown.errcode
    : undefined;
}

export function isBusy(thrown: unknown): boolean {
  return ((sqliteCode(thrown) ?? 0) & PRIMARY_CODE) === BUSY;
}

/** Runs a step of the store's own; any failure of SQLite in it becomes STORE_FAILED. */
export function storeStep<T>(file: string, what: string, step: () => T): T {
  try {
    return step();
  } catch (cause) {
    const code = sqliteCode(cause);
    if (code === undefined) {
      throw cause;
    }
    const text = cause instanceof Error && "errstr" in cause ? ` ${String(cause.errstr)}` : "";
    throw new AfterimageError(
      "STORE_FAILED",
      `SQLite could not ${what} ${file}: result code ${code},${text}.`,
      "Check free space, permissions and that the file is a healthy SQLite database (PRAGMA integrity_check).",
      { cause },
    );
  }
}
