// What users register for messages, and the call of the right handler: all of a stream's messages stand in one topic.
import { AfterimageError } from "../../errors.ts";
import { type GapEvent, type MessageEvent, skippedPrefix } from "../../event/change-event.ts";
import type { EventHandler, HandlerContext } from "./handlers.ts";

/** Gets the messages of one prefix, in commit order. */
export type MessageHandler<Tx> = (event: MessageEvent, context: HandlerContext<Tx, MessageEvent>) => unknown;

export interface MessageOptions<Tx> {
  /** A message of the prefix was left out on purpose (`afterimage skip`). Without it the consumer stops there. */
  readonly gap?: (event: GapEvent, context: HandlerContext<Tx, GapEvent>) => unknown;
}

export interface RegisteredMessages<Tx> extends MessageOptions<Tx> {
  readonly handler: MessageHandler<Tx>;
}

/** Each message, or the gap of one, to the handler of its prefix; without one it is passed over. */
export function byPrefix<Tx>(registered: ReadonlyMap<string, RegisteredMessages<Tx>>): EventHandler<Tx> {
  return (event, { tx }) => {
    if (event.operation === "message") {
      return registered.get(event.after.prefix)?.handler(event, { tx, event });
    }
    return event.operation === "gap" ? passGap(registered, event, tx) : undefined;
  };
}

function passGap<Tx>(registered: ReadonlyMap<string, RegisteredMessages<Tx>>, event: GapEvent, tx: Tx): unknown {
  const prefix = skippedPrefix(event);
  const own = prefix === null ? undefined : registered.get(prefix);
  if (prefix !== null && own === undefined) {
    return undefined;
  }
  if (own?.gap === undefined) {
    throw new AfterimageError(
      "GAP_REACHED",
      `The stream announces a gap: ${prefix === null ? "a message" : `a message with prefix ${JSON.stringify(prefix)}`} is missing from it.`,
      "Register a `gap` handler that decides what the view does: onMessage(prefix, handler, { gap }).",
    );
  }
  return own.gap(event, { tx, event });
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
