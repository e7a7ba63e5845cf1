// What users register for messages, and the call of the right handler: all of a stream's messages stand in one topic.
import { AfterimageError } from "../../errors.ts";
import type { MessageEvent } from "../../event/change-event.ts";
import type { EventHandler, HandlerContext } from "./handlers.ts";

/** Gets the messages of one prefix, in commit order. */
export type MessageHandler<Tx> = (event: MessageEvent, context: HandlerContext<Tx, MessageEvent>) => unknown;

/** Each message to the handler of its prefix; one without is passed over. */
export function byPrefix<Tx>(handlers: ReadonlyMap<string, MessageHandler<Tx>>): EventHandler<Tx> {
  return (event, { tx }) =>
    event.operation === "message" ? handlers.get(event.after.prefix)?.(event, { tx, event }) : undefined;
}

/** Throws REGISTRATION_REFUSED and HANDLER_MISSING. */
export function checkMessageHandler(
  prefix: unknown,
  handler: unknown,
  { known, isRunning }: { known: ReadonlyMap<unknown, unknown>; isRunning: boolean },
): void {
  const what = `Messages with prefix ${JSON.stringify(prefix)}`;
  if (isRunning || known.has(prefix)) {
    throw new AfterimageError(
      "REGISTRATION_REFUSED",
      `${what} were registered ${isRunning ? "after run()" : "twice"}.`,
      "Register each prefix once, before run().",
    );
  }
  if (typeof prefix !== "string" || typeof handler !== "function") {
    throw new AfterimageError(
      "HANDLER_MISSING",
      `${what} have no handler.`,
      "Give the prefix and a function: onMessage(prefix, (event, ctx) => …).",
    );
  }
}
