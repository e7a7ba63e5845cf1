// An account: what can happen to it, and what that amounts to. Amounts are whole cents.
import type { AggregateDefinition } from "../../sdk/index.ts";

interface Booking {
  /** Always above zero: the type says which way. */
  readonly cents: number;
  /** The customer's words, or the number of a request. */
  readonly reference?: string;
}

interface TransferLeg extends Booking {
  /** The account at the other end. */
  readonly other: string;
}

export type AccountEvents = {
  Deposited: Booking;
  Withdrawn: Booking;
  TransferSent: TransferLeg;
  TransferReceived: TransferLeg;
};

export interface Account {
  readonly cents: number;
}

/** What an event adds to the balance. */
export const SIGN: Readonly<Record<keyof AccountEvents, 1 | -1>> = {
  Deposited: 1,
  TransferReceived: 1,
  Withdrawn: -1,
  TransferSent: -1,
};

export const ACCOUNT: AggregateDefinition<Account, AccountEvents> = {
  name: "account",
  initial: { cents: 0 },
  apply: ({ cents }, { type, data }) => ({ cents: cents + SIGN[type] * data.cents }),
};

/** The stream of an account's events. */
export const streamOf = (account: string): string => `account-${account}`;
