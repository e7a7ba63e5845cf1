// Where the last row of each key stands in a log, in about 40 bytes a key: digests in typed arrays, found by open
// addressing. Shards grow one by one, so that growing never needs the whole twice.

/** Bytes of a key's digest that tell keys apart; its first two are the bucket. */
export const KEY_BYTES = 16;

const SHARDS = 64;
const WORDS = KEY_BYTES / 4;
const FIRST_SLOTS = 8;
const FULLEST = 0.8;

interface Shard {
  digests: Uint32Array;
  /** Zero in an empty slot. */
  positions: Float64Array;
  counts: Float64Array | null;
  taken: number;
}

export class KeyIndex {
  readonly #shards: (Shard | undefined)[] = new Array(SHARDS).fill(undefined);
  #counted = false;

  /** Above zero; zero when the key is not there. */
  position(digest: Buffer): number {
    const shard = this.#shards[shardOf(digest)];
    return shard === undefined ? 0 : shard.positions[slotOf(shard, wordsOf(digest))]!;
  }

  /** Of a key that is there. */
  count(digest: Buffer): number {
    const shard = this.#shards[shardOf(digest)];
    return shard?.counts?.[slotOf(shard, wordsOf(digest))] ?? 1;
  }

  /** `count`, where one was ever given, is kept beside the position. */
  set(digest: Buffer, position: number, count?: number): void {
    if (count !== undefined && !this.#counted) {
      this.#startCounting();
    }
    const at = shardOf(digest);
    this.#shards[at] ??= emptyShard(FIRST_SLOTS, this.#counted);
    let shard = this.#shards[at];
    const words = wordsOf(digest);
    let slot = slotOf(shard, words);
    if (shard.positions[slot] === 0) {
      if (shard.taken + 1 > FULLEST * shard.positions.length) {
        shard = grown(shard);
        this.#shards[at] = shard;
        slot = slotOf(shard, words);
      }
      shard.taken++;
      shard.digests.set(words, slot * WORDS);
    }
    shard.positions[slot] = position;
    if (shard.counts !== null) {
      shard.counts[slot] = count ?? 1;
    }
  }

  #startCounting(): void {
    this.#counted = true;
    for (const shard of this.#shards) {
      if (shard !== undefined) {
        shard.counts = new Float64Array(shard.positions.length).fill(1);
      }
    }
  }

  /** The positions from `least` on and their counts, in the order of positions. */
  *inLogOrder(least: number): Generator<readonly [position: number, count: number]> {
    const positions: Float64Array[] = [];
    const counts = new Map<number, number>();
    for (const shard of this.#shards) {
      if (shard === undefined) {
        continue;
      }
      positions.push(shard.positions.filter((position) => position > 0 && position >= least));
      for (const [slot, count] of shard.counts?.entries() ?? []) {
        if (count !== 1) {
          counts.set(shard.positions[slot]!, count);
        }
      }
    }
    const sorted = new Float64Array(positions.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of positions) {
      sorted.set(part, at);
      at += part.length;
    }
    for (const position of sorted.sort()) {
      yield [position, counts.get(position) ?? 1];
    }
  }

  /** The same in the order of the digests, of those buckets alone. */
  *inKeyOrder(least: number, buckets: ReadonlySet<number>): Generator<readonly [position: number, count: number]> {
    for (const shard of this.#shards) {
      if (shard === undefined) {
        continue;
      }
      const { digests, positions, counts } = shard;
      const slots = [...positions.keys()].filter(
        (slot) => positions[slot]! > 0 && positions[slot]! >= least && buckets.has(digests[slot * WORDS]! >>> 16),
      );
      for (const slot of slots.sort((a, b) => compareDigests(digests, a, b))) {
        yield [positions[slot]!, counts?.[slot] ?? 1];
      }
    }
  }
}

const shardOf = (digest: Buffer): number => digest[0]! >>> 2;

const wordsOf = (digest: Buffer): readonly [number, number, number, number] => [
  digest.readUInt32BE(0),
  digest.readUInt32BE(4),
  digest.readUInt32BE(8),
  digest.readUInt32BE(12),
];

const emptyShard = (slots: number, counted: boolean): Shard => ({
  digests: new Uint32Array(slots * WORDS),
  positions: new Float64Array(slots),
  counts: counted ? new Float64Array(slots) : null,
  taken: 0,
});

/** The key's slot, or the empty one where it belongs. */
function slotOf({ digests, positions }: Shard, words: readonly [number, number, number, number]): number {
  const mask = positions.length - 1;
  for (let slot = words[1] & mask; ; slot = (slot + 1) & mask) {
    const at = slot * WORDS;
    if (
      positions[slot] === 0 ||
      (digests[at + 1] === words[1] &&
        digests[at] === words[0] &&
        digests[at + 2] === words[2] &&
        digests[at + 3] === words[3])
    ) {
      return slot;
    }
  }
}

function grown(shard: Shard): Shard {
  const { digests, positions, counts } = shard;
  const larger = emptyShard(positions.length * 2, counts !== null);
  for (let slot = 0; slot < positions.length; slot++) {
    if (positions[slot]! > 0) {
      const at = slot * WORDS;
      const words = [digests[at]!, digests[at + 1]!, digests[at + 2]!, digests[at + 3]!] as const;
      const place = slotOf(larger, words);
      larger.digests.set(words, place * WORDS);
      larger.positions[place] = positions[slot]!;
      if (larger.counts !== null) {
        larger.counts[place] = counts![slot]!;
      }
    }
  }
  larger.taken = shard.taken;
  return larger;
}

function compareDigests(digests: Uint32Array, a: number, b: number): number {
  for (let word = 0; word < WORDS; word++) {
    const difference = digests[a * WORDS + word]! - digests[b * WORDS + word]!;
    if (difference !== 0) {
      return difference;
    }
  }
  return 0;
}
