// At most one effect per key: the effect and its result are one transaction of the store.
import { AsyncLocalStorage } from "node:async_hooks";
import { createHash } from "node:crypto";
import { AfterimageError } from "../../errors.ts";
import { canonicalJson, type Json } from "../json/canonical.ts";
import type { IdempotencyStore } from "./store.ts";

export interface IdempotencyOptions<Tx> {
  readonly store: IdempotencyStore<Tx>;
}

export interface ProcessOptions {
  /** What the request asks for. A key that comes again with others is refused. */
  readonly arguments?: Json;
  /** Seconds from the moment the result is stored until the key counts as new again; 3,600 by default. */
  readonly expires?: number;
}

export interface Processed<T> {
  /** `processed`: this call had the effect. `duplicate`: an earlier call, or one at the same time, had it. */
  readonly status: "processed" | "duplicate";
  /** What the effect gave, as JSON keeps it; undefined when it gave nothing. The same for every caller. */
  readonly result: T;
}

export interface Idempotency<Tx> {
  /**
   * Runs `effect` at most once per key. What it writes through `tx` and what it gives are committed together; when it throws,
   * neither is stored, the error is thrown on, and the key is free for another try.
   * @throws KEY_REUSED with other arguments than the first time; KEY_INVALID; KEY_NESTED within an effect; VALUE_NOT_JSON when the result can't be stored
   *   (nothing is then); OUTCOME_UNKNOWN when the connection was lost at the commit: call again with the same key
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: an async function without a return gives it
  process<T extends Json | undefined | void>(
    key: string,
    effect: (tx: Tx) => T | Promise<T>,
    options?: ProcessOptions,
  ): Promise<Processed<T>>;
  /** Removes keys that have expired, and gives how many; done now and then by `process` as well. */
  purge(): Promise<number>;
  /** Closes the connections that the store opened itself. */
  close(): Promise<void>;
}

const DEFAULT_EXPIRES_SECONDS = 3600;
/** A hundred years: timestamps of Postgres end at some point. */
const MOST_SECONDS = 3_155_760_000;
const LONGEST_KEY = 1024;
/** A thousandth of the calls pay for all. */
const PURGE_EVERY = 1000;
/** Stored for an effect that gives nothing; no JSON is empty. */
const NOTHING = "";

export function createIdempotency<Tx>({ store }: IdempotencyOptions<Tx>): Idempotency<Tx> {
  let processed = 0;
  const within = new AsyncLocalStorage<{ over: boolean }>();
  return {
    async process(key, effect, { arguments: given, expires = DEFAULT_EXPIRES_SECONDS } = {}) {
      if (within.getStore()?.over === false) {
        throw new AfterimageError(
          "KEY_NESTED",
          "`process` was called within an effect of the same store.",
          "Call it after the effect, or do both in one effect: two transactions would wait for each other, or one be committed without the other.",
        );
      }
      const request = {
        key: requireKey(key),
        argumentsHash: hashOf(given === undefined ? NOTHING : canonicalJson(given, "The arguments of a key")),
        expiresSeconds: requireSeconds(expires),
      };
      const stored = await store.once(request, async (tx) => {
        const here = { over: false };
        const result = await within
          .run(here, async () => effect(tx))
          .finally(() => {
            here.over = true;
          });
        return result === undefined ? NOTHING : canonicalJson(result, "The result of a key");
      });
      if (stored.argumentsHash !== request.argumentsHash) {
        throw new AfterimageError(
          "KEY_REUSED",
          "The idempotency key was used before with other arguments.",
          "Two different requests have the same key: make each one's key anew (a UUID), or of all that tells it from others. Nothing was done.",
        );
      }
      if (stored.result === null) {
        throw new AfterimageError(
          "KEY_UNFINISHED",
          "The effect of this idempotency key ended the transaction itself, so it may have happened, and its result was not stored.",
          "Don't send COMMIT or ROLLBACK through tx. Look in the database what came of it; the key is free again when it expires.",
        );
      }
      if (stored.fresh && ++processed % PURGE_EVERY === 0) {
        await store.purge().catch(() => undefined); // the effect has happened; the next purge removes them
      }
      return {
        status: stored.fresh ? "processed" : "duplicate",
        result: stored.result === NOTHING ? undefined : JSON.parse(stored.result),
      };
    },
    purge: () => store.purge(),
    close: () => store.close(),
  };
}

function requireKey(key: unknown): string {
  if (typeof key === "string" && key !== "" && key.length <= LONGEST_KEY && key.isWellFormed() && !key.includes("\0")) {
    return key;
  }
  throw new AfterimageError(
    "KEY_INVALID",
    `An idempotency key is a string of 1 to ${LONGEST_KEY} characters, without U+0000 and lone surrogates.`,
    "Make one of the request's parts: idempotencyKey(customer, requestId). A key from a header is best such a part.",
  );
}

function requireSeconds(expires: unknown): number {
  if (typeof expires === "number" && expires > 0 && expires <= MOST_SECONDS) {
    return expires;
  }
  throw new AfterimageError(
    "KEY_EXPIRY_INVALID",
    "`expires` is a number of seconds above 0, of at most a hundred years.",
    "Leave it out for 3,600 s, or give a time longer than any client retries.",
  );
}

const hashOf = (text: string): string => createHash("sha256").update(text).digest("hex");
