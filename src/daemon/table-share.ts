// What the connections that read one table share: its watch, and who of them reads which range of its keys.
import type { TableWatch } from "../capture/table-watch.ts";
import type { KeyRange, KeyTexts, TableSnapshot } from "../event/snapshot-state.ts";
import type { SnapshotBook } from "./snapshot-book.ts";
import { nameOf } from "./table-snapshot.ts";

/** A range is cut up only when so many chunks are left in it, at least. */
const WORTH_CHUNKS = 4;
/** Progress records hold the borders. */
const LONGEST_BORDER = 2_048;

/** A range as the one hand that reads it knows it: the book knows only what is in the stream. */
export interface OwnRange {
  readonly generation: number;
  /** Smaller after it was cut up. */
  upTo: KeyTexts | null;
  /** Key of the last row that was read, be it in the stream yet or not. */
  after: KeyTexts | null;
  atEnd: boolean;
}

export class TableShare {
  readonly watch: TableWatch;
  readonly #book: SnapshotBook;
  readonly #oid: number;
  readonly #name: string;
  readonly #taken = new Set<string>();
  readonly #whole = new Set<string>();
  #generation: number;
  #expected: Promise<void> | null = null;
  #passing: Promise<void> | null = null;
  #hands = 0;
  #readsAgain: object | null = null;
  #largest = 0;

  /** From here on the table's events are noted. */
  constructor(book: SnapshotBook, { oid, table }: Pick<TableSnapshot, "oid" | "table">) {
    this.#book = book;
    this.#oid = oid;
    this.#name = table;
    this.#generation = book.generation(oid);
    this.watch = book.watch(oid);
  }

  /**
   * The snapshot as the book has it; undefined when it is over, though another one may have begun, or has become one of
   * the table under another name.
   */
  get entry(): TableSnapshot | undefined {
    const entry = this.#book.get(this.#oid);
    return this.#book.isWatchedBy(this.#oid, this.watch) && entry?.table === this.#name ? entry : undefined;
  }

  /** One more reads; resolves once the writers of before are known. */
  join(writers: () => Promise<string[]>): Promise<void> {
    this.#hands++;
    this.#expected ??= writers().then((xids) => this.watch.expect(xids));
    return this.#expected;
  }

  /**
   * Waits until the stream has passed the change that the snapshot answers: one of those who read sees to it. The table may
   * have been out of the publication meanwhile, so whoever writes to it is looked up again.
   */
  async pass(change: () => Promise<void>, writers: () => Promise<string[]>): Promise<void> {
    const passing = async () => {
      await change();
      this.watch.expect(await writers());
    };
    while (this.entry?.behind === true) {
      this.#passing ??= passing().finally(() => {
        this.#passing = null;
      });
      await this.#passing;
    }
  }

  /** Whoever leaves can't be the last one while something is left: then it is false, and nobody has left. */
  mayLeave(hand: object): boolean {
    if (this.#hands === 1) {
      return false;
    }
    this.left(hand);
    return true;
  }

  left(hand: object): void {
    this.#hands--;
    if (this.#readsAgain === hand) {
      this.#readsAgain = null;
    }
  }

  /** Whether this one reads keys again: one at a time, so that no row is read again twice. */
  readsAgain(hand: object): boolean {
    this.#readsAgain ??= hand;
    return this.#readsAgain === hand;
  }

  /** How many ranges nobody reads. */
  get free(): number {
    return this.#free().length;
  }

  /** The next range that nobody reads; null when there is none. */
  take(): OwnRange | null {
    const [range] = this.#free();
    if (range === undefined) {
      return null;
    }
    this.#taken.add(nameOf(range.upTo));
    return { generation: this.#generation, after: range.after, upTo: range.upTo, atEnd: false };
  }

  /** A chunk that was not the last one had so many rows. */
  sawChunk(rows: number): void {
    this.#largest = Math.max(this.#largest, rows);
  }

  /** Whether it is worth to find out how the rest of the range could be cut up. */
  mayBeCut({ upTo }: OwnRange): boolean {
    return this.#largest > 0 && !this.#whole.has(nameOf(upTo));
  }

  /** Keeps the first part and leaves the others to whoever comes. `rows`: estimated, of all of it. */
  cut(range: OwnRange, sample: { readonly ends: readonly KeyTexts[]; readonly rows: number } | null): void {
    if (this.entry === undefined || this.#book.generation(this.#oid) !== range.generation) {
      return; // it ended, or began anew, while the sample was taken
    }
    const { upTo } = range;
    const tooSmall = sample === null || sample.rows < WORTH_CHUNKS * this.#largest;
    if (tooSmall || JSON.stringify(sample.ends).length > LONGEST_BORDER) {
      this.#whole.add(nameOf(upTo));
      return;
    }
    this.#book.split(this.#oid, upTo, sample.ends);
    this.#taken.delete(nameOf(upTo));
    range.upTo = sample.ends[0]!;
    this.#taken.add(nameOf(range.upTo));
  }

  #free(): readonly KeyRange[] {
    const generation = this.#book.generation(this.#oid);
    if (generation !== this.#generation) {
      this.#generation = generation;
      this.#taken.clear();
      this.#whole.clear();
    }
    const { ranges } = this.entry ?? { ranges: [] };
    return ranges.filter(({ upTo }) => !this.#taken.has(nameOf(upTo)));
  }
}
