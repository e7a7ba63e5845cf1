// One partition's log as its leader keeps it: record batches, what each producer appended last, which transactions are
// open and which were aborted. The rules are those of ProducerAppendInfo and ProducerStateManager.
import { crc32c } from "../../../src/kafka/crc32c.ts";
import { ErrorCode } from "../../../src/kafka/protocol/error-code.ts";
import type { ProducerIdentity } from "../../../src/kafka/protocol/transaction.ts";

export interface StoredBatch extends ProducerIdentity {
  readonly baseOffset: bigint;
  readonly lastOffset: bigint;
  readonly bytes: Buffer;
  readonly control: boolean;
}

interface ProducerEntry {
  epoch: number;
  /** The last five batches of this epoch. */
  recent: { first: number; last: number; baseOffset: bigint }[];
  /** First offset of the transaction that is open here. */
  openFrom: bigint | null;
}

interface Aborted {
  readonly producerId: bigint;
  readonly firstOffset: bigint;
  readonly lastOffset: bigint;
}

export interface Appended {
  readonly error: number;
  readonly baseOffset: bigint;
}

const REMEMBERED = 5;
const refusal = (error: number): Appended => ({ error, baseOffset: -1n });

export class Partition {
  readonly topic: string;
  readonly partition: number;
  leader: number;
  readonly batches: StoredBatch[] = [];
  /** The offset the next record gets; everything below is replicated. */
  end = 0n;
  readonly #producers = new Map<bigint, ProducerEntry>();
  /** Producers whose transaction is being verified here: a batch may not follow a lower one that was never appended. */
  readonly #verifying = new Map<bigint, { epoch: number; lowest: number }>();
  readonly #aborted: Aborted[] = [];

  constructor(topic: string, partition: number, leader: number) {
    this.topic = topic;
    this.partition = partition;
    this.leader = leader;
  }

  get lastStable(): bigint {
    let stable = this.end;
    for (const { openFrom } of this.#producers.values()) {
      if (openFrom !== null && openFrom < stable) {
        stable = openFrom;
      }
    }
    return stable;
  }

  /** First offset of the producer's open transaction; null when it has none here. */
  openFrom(producerId: bigint): bigint | null {
    return this.#producers.get(producerId)?.openFrom ?? null;
  }

  /** `verify` asks the coordinator whether the partition is part of the producer's transaction; 0 when it is. */
  append(source: Buffer, verify: (owner: ProducerIdentity) => number): Appended {
    const bytes = Buffer.from(source);
    const producerId = bytes.readBigInt64BE(43);
    const producerEpoch = bytes.readInt16BE(51);
    const first = bytes.readInt32BE(53);
    const count = bytes.readInt32BE(57);
    const last = (first + count - 1) % 0x8000_0000;
    if (crc32c(bytes, 21, bytes.length) !== bytes.readUInt32BE(17)) {
      return refusal(ErrorCode.CORRUPT_MESSAGE);
    }
    const entry = this.#producers.get(producerId);
    const isOpen = entry !== undefined && entry.openFrom !== null && entry.epoch === producerEpoch;
    if (!isOpen) {
      this.#beginVerification(producerId, producerEpoch, first);
      const error = verify({ producerId, producerEpoch });
      if (error !== ErrorCode.NONE) {
        return refusal(error);
      }
    }
    if (entry !== undefined && producerEpoch < entry.epoch) {
      return refusal(ErrorCode.INVALID_PRODUCER_EPOCH);
    }
    if (entry?.epoch === producerEpoch) {
      const repeated = entry.recent.find((batch) => batch.first === first && batch.last === last);
      if (repeated !== undefined) {
        return { error: ErrorCode.NONE, baseOffset: repeated.baseOffset };
      }
    }
    // An open transaction was verified before; whoever else asks meanwhile does not matter to it.
    const lowest = isOpen ? first : this.#verifying.get(producerId)!.lowest;
    const expected = entry?.epoch === producerEpoch ? ((entry.recent.at(-1)?.last ?? -1) + 1) % 0x8000_0000 : 0;
    if (first > lowest || (entry !== undefined && first !== expected)) {
      return refusal(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER);
    }
    this.#verifying.delete(producerId);
    const baseOffset = this.#store(bytes, { producerId, producerEpoch }, BigInt(count), false);
    const recent = entry?.epoch === producerEpoch ? entry.recent : [];
    this.#producers.set(producerId, {
      epoch: producerEpoch,
      recent: [...recent, { first, last, baseOffset }].slice(-REMEMBERED),
      openFrom: entry?.openFrom ?? baseOffset,
    });
    return { error: ErrorCode.NONE, baseOffset };
  }

  /** The end of a transaction; false when a later epoch was here before. */
  mark({ producerId, producerEpoch }: ProducerIdentity, commit: boolean): boolean {
    const entry = this.#producers.get(producerId);
    if (entry !== undefined && producerEpoch < entry.epoch) {
      return false;
    }
    this.#verifying.delete(producerId);
    const offset = this.#store(controlBatch(commit), { producerId, producerEpoch }, 1n, true);
    if (entry !== undefined && entry.openFrom !== null && !commit) {
      this.#aborted.push({ producerId, firstOffset: entry.openFrom, lastOffset: offset });
    }
    const recent = entry?.epoch === producerEpoch ? entry.recent : [];
    this.#producers.set(producerId, { epoch: producerEpoch, recent, openFrom: null });
    return true;
  }

  /** What DescribeProducers tells. */
  get producers(): { producerId: bigint; epoch: number; openFrom: bigint }[] {
    return [...this.#producers].map(([producerId, { epoch, openFrom }]) => ({
      producerId,
      epoch,
      openFrom: openFrom ?? -1n,
    }));
  }

  /** What a fetch gets: read_committed, or all that there is. */
  read(from: bigint, maxBytes: number, uncommitted = false): { batches: Buffer; aborted: Aborted[] } {
    const stable = uncommitted ? this.end : this.lastStable;
    const parts: Buffer[] = [];
    let bytes = 0;
    let last = from;
    for (const batch of this.batches) {
      if (batch.lastOffset < from || batch.baseOffset >= stable) {
        continue;
      }
      bytes += batch.bytes.length;
      if (parts.length > 0 && bytes > maxBytes) {
        break;
      }
      parts.push(batch.bytes);
      last = batch.lastOffset;
    }
    const aborted = this.#aborted.filter(({ firstOffset, lastOffset }) => lastOffset >= from && firstOffset <= last);
    return { batches: Buffer.concat(parts), aborted };
  }

  #beginVerification(producerId: bigint, epoch: number, first: number): void {
    const known = this.#verifying.get(producerId);
    if (known === undefined || epoch > known.epoch) {
      this.#verifying.set(producerId, { epoch, lowest: first });
    } else if (epoch === known.epoch) {
      known.lowest = Math.min(known.lowest, first);
    }
  }

  #store(bytes: Buffer, owner: ProducerIdentity, count: bigint, control: boolean): bigint {
    const baseOffset = this.end;
    bytes.writeBigInt64BE(baseOffset, 0);
    if (control) {
      bytes.writeBigInt64BE(owner.producerId, 43);
      bytes.writeInt16BE(owner.producerEpoch, 51);
      bytes.writeUInt32BE(crc32c(bytes, 21, bytes.length), 17);
    }
    this.end = baseOffset + count;
    this.batches.push({ ...owner, baseOffset, lastOffset: this.end - 1n, bytes, control });
    return baseOffset;
  }
}

// https://kafka.apache.org/documentation/#controlbatch
function controlBatch(commit: boolean): Buffer {
  const record = Buffer.from([0, 0, 0, 8, 0, 0, 0, commit ? 1 : 0, 12, 0, 0, 0, 0, 0, 0, 0]);
  const bytes = Buffer.alloc(61 + 1 + record.length);
  bytes.writeInt32BE(bytes.length - 12, 8);
  bytes[16] = 2;
  bytes.writeInt16BE(0x30, 21);
  bytes.writeInt32BE(-1, 53);
  bytes.writeInt32BE(1, 57);
  bytes[61] = record.length << 1;
  record.copy(bytes, 62);
  return bytes;
}
