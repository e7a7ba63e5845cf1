// What a session holds while it is opened and until it ends: closed in reverse, whatever becomes of it.
import type pg from "pg";

/** What is known of the connections while a session is opened. */
export interface Lost {
  /** The first loss. */
  error?: Error;
  onLost: (error: Error) => void;
  /** The connection that makes publication and slot. */
  catalog: pg.Client | null;
  /** The attempt has failed: that the stream is then closed is no loss of it. */
  isOver: boolean;
}

/** Closes it with the others; at once when an abort has closed those already. */
export async function keep(resources: AsyncDisposableStack, close: () => Promise<void>): Promise<void> {
  if (resources.disposed) {
    await close();
    throw new Error("The start was stopped.");
  }
  resources.defer(close);
}
