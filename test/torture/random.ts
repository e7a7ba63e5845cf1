// Random numbers that come again from the same seed. A fork depends on seed and label alone, never on what was drawn
// before: a new consumer of one stream changes no other, so a history stays replayable when the workload grows.
import { createHash } from "node:crypto";

export interface Random {
  /** A whole number from `low` to `high`, both included. */
  int(low: number, high: number): number;
  pick<T>(items: readonly T[]): T;
  /** True with probability `p`. */
  chance(p: number): boolean;
  /** A shuffled copy. */
  shuffle<T>(items: readonly T[]): T[];
  /** Text of exactly that many bytes in UTF-8: mostly ASCII that compresses badly, now and then a longer character. */
  text(bytes: number): string;
  /** A stream of its own. */
  fork(label: string | number): Random;
}

// Without quotes and backslashes, which the tables with odd values are for.
const ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -";
const LONG = ["é", "ß", "Ж", "漢", "😀"];

export function seeded(seed: string | number): Random {
  const next = generator(String(seed));
  const fraction = () => ((next() >>> 5) * 0x4000000 + (next() >>> 6)) / 2 ** 53;
  const int = (low: number, high: number) => low + Math.floor(fraction() * (high - low + 1));
  return {
    int,
    pick: (items) => {
      if (items.length === 0) throw new RangeError("There is nothing to pick from.");
      return items[int(0, items.length - 1)]!;
    },
    chance: (p) => fraction() < p,
    shuffle(items) {
      const shuffled = [...items];
      for (let last = shuffled.length - 1; last > 0; last--) {
        const other = int(0, last);
        [shuffled[last], shuffled[other]] = [shuffled[other]!, shuffled[last]!];
      }
      return shuffled;
    },
    text(bytes) {
      let text = "";
      for (let left = bytes; left > 0; ) {
        const drawn = next();
        const long = LONG[(drawn >>> 8) % LONG.length]!;
        const take = drawn % 200 === 0 && Buffer.byteLength(long) <= left ? long : ALPHABET[drawn & 63]!;
        text += take;
        left -= Buffer.byteLength(take);
      }
      return text;
    },
    fork: (label) => seeded(`${seed}/${label}`),
  };
}

/** 32 bits a call: sfc32, whose state is the hash of the seed. */
function generator(seed: string): () => number {
  const hash = createHash("sha256").update(seed).digest();
  let [a, b, c, counter] = [hash.readInt32LE(0), hash.readInt32LE(4), hash.readInt32LE(8), 1];
  return () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return sum >>> 0;
  };
}
