// Kafka's frames as they pass a proxy: cut out of the stream, and the addresses in them rewritten.

export const API = {
  produce: 0,
  fetch: 1,
  listOffsets: 2,
  metadata: 3,
  findCoordinator: 10,
  initProducerId: 22,
  addPartitions: 24,
  endTxn: 26,
};

/** Calls `each` with every whole frame, its length field included. */
export function frames(each: (frame: Buffer) => void): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      const end = 4 + rest.readInt32BE(0);
      each(Buffer.from(rest.subarray(0, end)));
      rest = rest.subarray(end);
    }
  };
}

/** As replies hold a broker's address, but for the host's length, which has two forms. */
export function hostAndPort(host: string, port: number): Buffer {
  const bytes = Buffer.alloc(host.length + 4);
  bytes.write(host, 0, "latin1");
  bytes.writeInt32BE(port, host.length);
  return bytes;
}

/** In place: the ports of addresses, by `hostAndPort` in hexadecimal digits. */
export function rename(frame: Buffer, ports: ReadonlyMap<string, number>): Buffer {
  for (const [real, own] of ports) {
    const pattern = Buffer.from(real, "hex");
    for (let at = frame.indexOf(pattern); at >= 0; at = frame.indexOf(pattern, at + 1)) {
      frame.writeInt32BE(own, at + pattern.length - 4);
    }
  }
  return frame;
}

/** In place, so both must be of one length. True when it was there. */
export function replace(frame: Buffer, text: string, by: string): boolean {
  const at = frame.indexOf(text, 0, "latin1");
  if (at >= 0) {
    frame.write(by, at, "latin1");
  }
  return at >= 0;
}

/** A request AddPartitionsToTxn of version 2 with these partitions in place of its own. */
export function withPlaces(frame: Buffer, places: readonly { topic: string; partition: number }[]): Buffer {
  let at = 14 + frame.readInt16BE(12); // behind the client's id
  at += 2 + frame.readInt16BE(at) + 10; // behind transactional id, producer id and epoch
  const count = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(value);
    return bytes;
  };
  const topics = places.map(({ topic, partition }) => {
    const length = count(Buffer.byteLength(topic)).subarray(2);
    return Buffer.concat([length, Buffer.from(topic), count(1), count(partition)]);
  });
  const rewritten = Buffer.concat([frame.subarray(0, at), count(places.length), ...topics]);
  rewritten.writeInt32BE(rewritten.length - 4);
  return rewritten;
}
