// What turns Postgres's text of a value into a value of JavaScript that stands for exactly that, or says why it can't.
import { AfterimageError } from "../../errors.ts";

export interface Decoder<T> {
  /** The wire's own form when that is no text: such a value is taken as it stands. */
  readonly native?: "boolean" | "number";
  /** @throws VALUE_UNREPRESENTABLE, VALUE_UNREADABLE, TYPES_OUTDATED */
  decode(text: string): T;
}

/** What a decoder gives. */
export type Decoded<D> = D extends Decoder<infer T> ? T : never;

/** Strings stay as Postgres prints them: the types that have no equal in JavaScript, or whose equal is a string. */
export const text: Decoder<string> = { decode: (value) => value };

/** The value is sound, and JavaScript has none that is equal to it. `what` never quotes it. */
export function unrepresentable(what: string): AfterimageError {
  return new AfterimageError(
    "VALUE_UNREPRESENTABLE",
    `${what} can't be decoded without loss.`,
    "Take values of this type, or of this column alone, as text: `asText` of createConsumer, or afterimage types --as-text.",
  );
}

/** The text is not one that Postgres prints for the type. */
export function unreadable(type: string): AfterimageError {
  return new AfterimageError(
    "VALUE_UNREADABLE",
    `A value is not what Postgres prints for ${type}.`,
    "The column had another type once, or somebody else writes to the stream's topics. Take the column as text: `asText` of createConsumer, or afterimage types --as-text.",
  );
}

/** The generated decoders are older, or newer, than what they read. */
export function outdated(what: string): AfterimageError {
  return new AfterimageError(
    "TYPES_OUTDATED",
    what,
    "Run afterimage types again, and mend what the compiler then finds; the consumer goes on at this event.",
  );
}
