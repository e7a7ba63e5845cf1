// The one error type a user can meet: a code to search for, what happened, and what to do about it.

/** Between the items of a message that is a list. */
const ITEM = "\n  - ";

/**
 * An error with a stable `code` (UPPER_SNAKE_CASE), a `message` that says what happened, and `advice`: the
 * command, setting or SQL that mends it. Messages never hold row values or secrets. `items` follow the message, a line
 * each: only they make a message of several lines, whatever names of tables in it look like.
 */
export class AfterimageError extends Error {
  readonly code: string;
  readonly advice: string;

  constructor(code: string, message: string, advice: string, options: { cause?: unknown; items?: string[] } = {}) {
    const { items = [], ...rest } = options;
    super([message.replaceAll(ITEM, printable(ITEM)), ...items.map(printable)].join(ITEM), rest);
    this.name = "AfterimageError";
    this.code = code;
    this.advice = advice;
  }
}

/** An error of this class again, after its fields have come from another process. */
export function revived(told: { code: string; message: string; advice: string }): AfterimageError {
  const [message = "", ...items] = told.message.split(ITEM);
  return new AfterimageError(told.code, message, told.advice, { items });
}

/** The text of anything that was thrown, for a log line; never a stack. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof AggregateError && thrown.message === "") {
    return thrown.errors.map(messageOf).join("; ");
  }
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/**
 * The text without anything that a terminal or a reader of lines would act upon: names of tables and values of rows are
 * anybody's text, and may hold escape sequences and line breaks.
 */
export function printable(text: string): string {
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** The message of an AfterimageError, as `printable`; one that is a list stays one. */
export function printableMessage(message: string): string {
  return message.split(ITEM).map(printable).join(ITEM);
}
