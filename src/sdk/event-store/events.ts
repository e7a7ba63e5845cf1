// What an event store holds and gives back.
import { AfterimageError } from "../../errors.ts";

/** The data of each type of event, by the type's name: `{ Deposited: { cents: number } }`. */
// biome-ignore lint/suspicious/noExplicitAny: whatever JSON the application declares
export type EventTypes = Record<string, any>;

interface EventOf<Type extends string, Data> {
  readonly type: Type;
  /** In the form of the type's current version. */
  readonly data: Data;
}

/** One to append; a union by `type`. */
export type NewEvent<E extends EventTypes> = {
  [T in keyof E & string]: EventOf<T, E[T]>;
}[keyof E & string];

export interface Place {
  readonly stream: string;
  /** 1, 2, 3 … in its stream. */
  readonly version: number;
  /** 1, 2, 3 … over all streams of the store, in the order of commits. */
  readonly position: number;
  /** When it was appended, by the server's clock: UTC, to the microsecond, never earlier than that of the position before. */
  readonly time: string;
}

/** A union by `type`. */
export type StoredEvent<E extends EventTypes = EventTypes> = NewEvent<E> & Place;

/** Somebody else has appended to the stream since it was read. Read it again, decide again, append again. */
export class EventConflict extends AfterimageError {
  readonly expected: number;
  readonly actual: number;

  constructor(stream: string, expected: number, actual: number) {
    super(
      "EVENT_CONFLICT",
      `Stream ${stream} is at version ${actual}, not ${expected}.`,
      "Nothing was appended. Load the stream again, decide on its new state, and append with the new version.",
    );
    this.expected = expected;
    this.actual = actual;
  }
}

export function invalid(what: string): AfterimageError {
  return new AfterimageError(
    "EVENT_INVALID",
    what,
    "Nothing was done. Correct the call; docs/event-store.md has the forms.",
  );
}

const LONGEST_NAME = 512;

export function requireName(name: unknown, what: string): string {
  if (
    typeof name === "string" &&
    name !== "" &&
    name.length <= LONGEST_NAME &&
    name.isWellFormed() &&
    !name.includes("\0")
  ) {
    return name;
  }
  throw invalid(`${what} is a string of 1 to ${LONGEST_NAME} characters, without U+0000 and lone surrogates.`);
}

export function requireCount(count: unknown, what: string): number {
  if (typeof count === "number" && Number.isSafeInteger(count) && count >= 0) {
    return count;
  }
  throw invalid(`${what} is a whole number from 0 on.`);
}
