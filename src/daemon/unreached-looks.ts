// Since when the server has held WAL that is not published yet, though nothing of it may have been received: a large
// transaction is decoded for minutes before its first row comes.
import type { Lsn } from "../event/lsn.ts";

/** More looks than this are thinned out; the oldest one always stays. */
const KEPT = 1_000;

export class UnreachedLooks {
  #looks: { readonly insertLsn: Lsn; readonly at: number }[] = [];

  /** At `at` (milliseconds since 1970) the server had written up to `insertLsn`. */
  add(insertLsn: Lsn, at: number): void {
    this.#looks.push({ insertLsn: beforePageHeader(insertLsn), at });
    if (this.#looks.length > KEPT) {
      this.#looks = this.#looks.filter((_, index) => index % 2 === 0);
    }
  }

  /** When what lies above `endLsn` was first seen; null when nothing does. */
  oldest(endLsn: Lsn): number | null {
    this.#looks = this.#looks.filter(({ insertLsn }) => insertLsn > endLsn);
    return this.#looks[0]?.at ?? null;
  }

  forget(): void {
    this.#looks = [];
  }
}

const PAGE_BYTES = 8192n;

// The server counts the header of a page that holds nothing yet; no stream ever gets there.
function beforePageHeader(lsn: Lsn): Lsn {
  const offset = lsn % PAGE_BYTES;
  return offset === 24n || offset === 40n ? ((lsn - offset) as Lsn) : lsn;
}
