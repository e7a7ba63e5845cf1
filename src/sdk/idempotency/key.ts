// Idempotency keys: a fixed-length name for what a request is, made of its parts so that other parts give another name.
import { createHash } from "node:crypto";
import { AfterimageError } from "../../errors.ts";

export type KeyPart = string | number | bigint | boolean | null | Uint8Array;

/**
 * SHA-256 of the parts, as 64 hexadecimal digits. Each part is hashed with its kind and its length in bytes, so
 * ("a|b", "c") and ("a", "b|c") differ, as do ("1") and (1), (null) and ("null"). Strings are UTF-8 as they are, without
 * normalising; 0 and -0 are one number.
 * @throws KEY_PART_INVALID without parts, and for undefined, NaN, infinities, lone surrogates and other kinds: they would make
 *   different requests alike
 */
export function idempotencyKey(...parts: KeyPart[]): string {
  if (parts.length === 0) {
    throw invalid("no parts were given");
  }
  const hash = createHash("sha256");
  parts.forEach((part, at) => {
    const [kind, bytes] = encode(part, at);
    hash.update(`${kind}${bytes.length}:`).update(bytes);
  });
  return hash.digest("hex");
}

function encode(part: unknown, at: number): [kind: string, bytes: Uint8Array] {
  if (typeof part === "string" && part.isWellFormed()) {
    return ["s", Buffer.from(part, "utf8")];
  }
  if (typeof part === "number" && Number.isFinite(part)) {
    return ["n", Buffer.from(String(part))];
  }
  if (typeof part === "bigint") {
    return ["i", Buffer.from(String(part))];
  }
  if (typeof part === "boolean") {
    return ["b", Buffer.from(String(part))];
  }
  if (part instanceof Uint8Array) {
    return ["x", part];
  }
  if (part === null) {
    return ["0", Buffer.alloc(0)];
  }
  const kind = typeof part === "string" ? "a string with a lone surrogate" : typeof part;
  throw invalid(`part ${at + 1} is ${typeof part === "number" ? "no finite number" : kind}`);
}

function invalid(why: string): AfterimageError {
  return new AfterimageError(
    "KEY_PART_INVALID",
    `No idempotency key can be made: ${why}.`,
    "Give at least one part, each a string, finite number, bigint, boolean, null or Uint8Array; a part that is missing would make different requests alike.",
  );
}
