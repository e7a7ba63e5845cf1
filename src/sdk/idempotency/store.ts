// What a store of idempotency keys has to do. The database decides who comes first, never this process.

/** What is stored under a key. */
export interface StoredResult {
  /** Whether this call ran the work, rather than finding what another had stored. */
  readonly fresh: boolean;
  /** What the work gave, as it was written; null when the transaction was ended behind the store's back. */
  readonly result: string | null;
  /** Hash of the arguments with which the key was first used. */
  readonly argumentsHash: string;
}

export interface KeyRequest {
  readonly key: string;
  readonly argumentsHash: string;
  readonly expiresSeconds: number;
}

export interface IdempotencyStore<Tx> {
  /**
   * Runs `work` in a transaction and stores what it gives in the same one, unless the key is there and has not expired. A key
   * that another transaction is at work with is waited for, until that commits or rolls back.
   */
  once(request: KeyRequest, work: (tx: Tx) => Promise<string>): Promise<StoredResult>;
  /** Removes keys that have expired; gives how many. */
  purge(): Promise<number>;
  close(): Promise<void>;
}
