// What holds a session together while it is opened: what was lost meanwhile, and who closes what was opened already.
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
