// The one error type a user can meet: a code to search for, what happened, and what to do about it.

/**
 * An error with a stable `code` (UPPER_SNAKE_CASE), a `message` that says what happened, and `advice`: the
 * command, setting or SQL that mends it. Messages never hold row values or secrets.
 */
export class AfterimageError extends Error {
  readonly code: string;
  readonly advice: string;

  constructor(code: string, message: string, advice: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "AfterimageError";
    this.code = code;
    this.advice = advice;
  }
}

/** The text of anything that was thrown, for a log line; never a stack. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof AggregateError && thrown.message === "") {
    return thrown.errors.map(messageOf).join("; ");
  }
  return thrown instanceof Error ? thrown.message : String(thrown);
}
