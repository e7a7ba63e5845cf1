// Which partition a key belongs to, as Kafka's Java clients decide it (org.apache.kafka.common.utils.Utils.murmur2),
// so that other people's producers and consumers agree.

const SEED = 0x9747b28c;
const M = 0x5bd1e995;
const R = 24;

/** Kafka's variant of MurmurHash2 as a signed 32-bit number. */
export function murmur2(data: Uint8Array): number {
  const length = data.length;
  let hash = SEED ^ length;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    let k = data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24);
    k = Math.imul(k, M);
    k ^= k >>> R;
    hash = Math.imul(hash, M) ^ Math.imul(k, M);
  }
  const rest = length - at;
  if (rest > 0) {
    if (rest === 3) {
      hash ^= data[at + 2]! << 16;
    }
    if (rest >= 2) {
      hash ^= data[at + 1]! << 8;
    }
    hash = Math.imul(hash ^ data[at]!, M);
  }
  hash = Math.imul(hash ^ (hash >>> 13), M);
  return hash ^ (hash >>> 15);
}

// Keys are short and hashed one by one: text is written here instead of into a buffer of its own.
const scratch = Buffer.allocUnsafeSlow(3 * 1024);

/** 0 … partitions - 1. A string is hashed as UTF-8. */
export function partitionOf(key: Uint8Array | string, partitions: number): number {
  const bytes =
    typeof key !== "string"
      ? key
      : key.length <= 1024
        ? scratch.subarray(0, scratch.write(key, 0, "utf8"))
        : Buffer.from(key, "utf8");
  return (murmur2(bytes) & 0x7fff_ffff) % partitions;
}
