// The last transaction whose commit was decided, and what markers have made of it: brokers may lose some, and then it may
// be aborted after all, as long as nobody has read of it.
import { demand } from "./violation.ts";

interface Part {
  readonly openFrom: bigint;
  ended: "not" | "by commit" | "by abort";
}

export class Decided<Before> {
  /** How it was before. */
  readonly before: Before;
  readonly #parts = new Map<string, Part>();

  /** `open`: where its records begin in each `topic/partition`; null where it has none. */
  constructor(open: readonly { readonly place: string; readonly openFrom: bigint | null }[], before: Before) {
    this.before = before;
    for (const { place, openFrom } of open) {
      if (openFrom !== null) {
        this.#parts.set(place, { openFrom, ended: "not" });
      }
    }
  }

  /** It may still be aborted, or not be read everywhere. */
  get isOpen(): boolean {
    return !this.#isUndone && [...this.#parts.values()].some(({ ended }) => ended !== "by commit");
  }

  has(place: string, openFrom: bigint): boolean {
    return this.#parts.get(place)?.openFrom === openFrom;
  }

  /** A marker has ended it in a partition. `undone` with the first that aborts it. */
  ended(place: string, commit: boolean): "committed" | "aborted" | "undone" {
    const part = this.#parts.get(place)!;
    const wasUndone = this.#isUndone;
    part.ended = commit ? "by commit" : "by abort";
    if (commit) {
      demand(!wasUndone, () => `${place} from ${part.openFrom} is committed, but was aborted elsewhere`);
      return "committed";
    }
    const isRead = [...this.#parts.values()].some(({ ended }) => ended === "by commit");
    demand(!isRead, () => `${place} from ${part.openFrom} is aborted, but was committed elsewhere`);
    return wasUndone ? "aborted" : "undone";
  }

  get #isUndone(): boolean {
    return [...this.#parts.values()].some(({ ended }) => ended === "by abort");
  }
}
