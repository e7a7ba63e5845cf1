// An event as it is captured: where it stands, and what it is.
import type { AfterimageError } from "../errors.ts";
import type { EnvelopeTransaction, RowChange } from "../event/envelope.ts";
import type { EmittedMessage } from "../event/message.ts";
import type { CapturedTable, MessageRoute } from "./captured-table.ts";

export interface CapturedPlace {
  readonly transaction: EnvelopeTransaction;
  readonly sequence: number;
  readonly index: number;
  /** Ordinal of its message among those of the transaction that can be events, and how many events of that one follow. */
  readonly message: number;
  readonly rest: number;
  /** Whether it is the last kept event of its transaction. */
  readonly last: boolean;
}

export interface TableWhat {
  readonly table: CapturedTable;
  readonly change: RowChange | { readonly operation: "truncate" };
  /** As the message has it: of an event whose own values are among them it is why it can't be published. */
  readonly undecodable?: AfterimageError;
}

export interface MessageWhat {
  readonly table: null;
  readonly route: MessageRoute;
  readonly change: EmittedMessage;
}

export type CapturedTableEvent = CapturedPlace & TableWhat;
export type CapturedMessage = CapturedPlace & MessageWhat;
export type CapturedEvent = CapturedTableEvent | CapturedMessage;
