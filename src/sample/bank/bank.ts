// What customers ask of a bank. A balance comes from the account's own events and nothing else, and is never below zero.
import {
  AfterimageError,
  type Aggregate,
  EventConflict,
  EventStore,
  type LoadOptions,
  type PostgresSource,
  type StoredEvent,
} from "../../sdk/index.ts";
import { ACCOUNT, type Account, type AccountEvents, streamOf } from "./account.ts";

/** Ten billion of whatever a cent is a hundredth of: sums of any number of bookings stay exact. */
const MOST_CENTS = 1_000_000_000_000;

export class Bank {
  readonly #events: EventStore<AccountEvents>;
  readonly #accounts: Aggregate<Account, AccountEvents>;

  constructor(postgres: PostgresSource) {
    this.#events = new EventStore({ postgres });
    this.#accounts = this.#events.aggregate(ACCOUNT);
  }

  /** @throws AMOUNT_INVALID, ACCOUNT_INVALID */
  async deposit(account: string, cents: number, reference?: string): Promise<void> {
    requireAmount(cents);
    // Whatever the balance is, a deposit is fine: nothing to expect.
    await this.#events.append(stream(account), "Deposited", { cents, ...(reference !== undefined && { reference }) });
  }

  /** @throws FUNDS_INSUFFICIENT, AMOUNT_INVALID, ACCOUNT_INVALID */
  async withdraw(account: string, cents: number, reference?: string): Promise<void> {
    requireAmount(cents);
    await this.#onBalance(account, cents, async (expectedVersion) => {
      const data = { cents, ...(reference !== undefined && { reference }) };
      await this.#events.append(stream(account), "Withdrawn", data, { expectedVersion });
    });
  }

  /** Both bookings or none. @throws FUNDS_INSUFFICIENT, AMOUNT_INVALID, ACCOUNT_INVALID */
  async transfer(from: string, to: string, cents: number, reference?: string): Promise<void> {
    requireAmount(cents);
    if (from === to) {
      throw new AfterimageError("ACCOUNT_INVALID", "A transfer is between two accounts.", "Name another account.");
    }
    await this.#onBalance(from, cents, (expectedVersion) =>
      this.#events.transaction(async (tx) => {
        const more = reference !== undefined && { reference };
        await this.#events.append(stream(from), "TransferSent", { cents, other: to, ...more }, { expectedVersion, tx });
        await this.#events.append(stream(to), "TransferReceived", { cents, other: from, ...more }, { tx });
      }),
    );
  }

  /** In cents, now, or as it was. 0 for an account that nobody has used. */
  async balance(account: string, at: Pick<LoadOptions, "version" | "time"> = {}): Promise<number> {
    return (await this.#accounts.load(stream(account), at)).state.cents;
  }

  /** All that happened to the account after a version. */
  history(account: string, from = 0): Promise<StoredEvent<AccountEvents>[]> {
    return this.#events.read(stream(account), { from });
  }

  /** All that happened in the bank after a position, in order. */
  trail(from = 0, limit = 100): Promise<StoredEvent<AccountEvents>[]> {
    return this.#events.readAll({ from, limit });
  }

  close(): Promise<void> {
    return this.#events.close();
  }

  /** Decides again on the new balance when somebody else has booked in between, so nobody spends the same money twice. */
  async #onBalance(account: string, cents: number, book: (version: number) => Promise<void>): Promise<void> {
    for (;;) {
      const { state, version } = await this.#accounts.load(stream(account));
      if (state.cents < cents) {
        throw new AfterimageError(
          "FUNDS_INSUFFICIENT",
          `Account ${account} has less than ${cents} cents.`,
          "Nothing was booked. Ask for less, or deposit first.",
        );
      }
      try {
        return await book(version);
      } catch (error) {
        if (!(error instanceof EventConflict)) {
          throw error;
        }
      }
    }
  }
}

function requireAmount(cents: unknown): void {
  if (typeof cents !== "number" || !Number.isSafeInteger(cents) || cents <= 0 || cents > MOST_CENTS) {
    throw new AfterimageError(
      "AMOUNT_INVALID",
      "An amount is a whole number of cents above zero.",
      `Give an amount from 1 to ${MOST_CENTS} cents.`,
    );
  }
}

function stream(account: unknown): string {
  if (typeof account !== "string" || !/^[A-Za-z0-9]{1,34}$/.test(account)) {
    throw new AfterimageError(
      "ACCOUNT_INVALID",
      "An account's number has 1 to 34 letters and digits.",
      "Give the number without blanks.",
    );
  }
  return streamOf(account);
}
