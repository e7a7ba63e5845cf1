// Names of registers and leases.
import { AfterimageError } from "../../errors.ts";

const LONGEST = 1024;

export function requireKey(key: unknown): string {
  if (typeof key === "string" && key !== "" && key.length <= LONGEST && key.isWellFormed() && !key.includes("\0")) {
    return key;
  }
  throw new AfterimageError(
    "REGISTER_KEY_INVALID",
    `The key of a register, or the name of a lease, is a string of 1 to ${LONGEST} characters, without U+0000 and lone surrogates.`,
    "Nothing was done. Give another key.",
  );
}
