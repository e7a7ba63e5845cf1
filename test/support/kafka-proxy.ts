// A real Kafka behind a TCP proxy that loses or holds the replies it is told to, so that a client meets the outcomes
// nobody knows. Brokers name the proxies as their addresses.
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import { kafkaClient } from "./topics.ts";

export const API = { produce: 0, metadata: 3, findCoordinator: 10, initProducerId: 22, addPartitions: 24, endTxn: 26 };

type Fault = "lose" | "hold";

interface Strike {
  readonly apiKey: number;
  readonly moment: "request" | "reply";
  readonly act: () => void;
  /** How many frames of that kind are still let through. */
  left: number;
}

export class KafkaProxy {
  readonly #faults = new Map<number, Fault[]>();
  readonly #sockets = new Set<Socket>();
  readonly #servers: Server[] = [];
  readonly #errors = new Map<number, { error: number; times: number }>();
  #refusing = false;
  #frozen = false;
  #strike: Strike | null = null;
  #hidden: { readonly name: string; readonly alias: string } | null = null;
  #isHiding = false;
  /** Metadata requests that asked for the hidden topic. */
  denied = 0;
  /** API keys of the requests that came, in order. */
  readonly requests: number[] = [];
  addresses: string[] = [];

  static async start(): Promise<KafkaProxy> {
    const proxy = new KafkaProxy();
    const admin = kafkaClient().admin();
    await admin.connect();
    const { brokers } = await admin.describeCluster();
    await admin.disconnect();
    const ports = new Map<string, number>();
    for (const { host, port } of brokers) {
      const server = createServer((client) => proxy.#serve(client, host, port, ports));
      proxy.#servers.push(server);
      await new Promise<void>((resolve) => server.listen(0, host, resolve));
      const own = (server.address() as { port: number }).port;
      ports.set(hostAndPort(host, port).toString("hex"), own);
      proxy.addresses.push(`${host}:${own}`);
    }
    return proxy;
  }

  /** The next request of this kind is carried out, but its reply is lost with the connection. */
  loseReply(apiKey: number): void {
    this.#plan(apiKey, "lose");
  }

  /** The next request of this kind is carried out, but its reply never comes; the connection stays open. */
  holdReply(apiKey: number): void {
    this.#plan(apiKey, "hold");
  }

  /**
   * At the n-th request of this kind, before the broker gets it, or at its reply, before the client gets that: acts, and
   * lets nothing of that connection through any more.
   */
  strikeAt(apiKey: number, nth: number, moment: Strike["moment"], act: () => void): void {
    this.#strike = { apiKey, moment, act, left: nth - 1 };
  }

  /** Until `show`, brokers are asked for a topic that they don't know in place of this one, as if they lagged behind. */
  hide(topic: string): void {
    this.#hidden = { name: topic, alias: `_${topic.slice(1)}` };
    this.#isHiding = true;
  }

  show(): void {
    this.#isHiding = false;
  }

  /** The next replies of this kind, of a flexible version whose error follows the throttle time, get this error. */
  answerWith(apiKey: number, error: number, times: number): void {
    this.#errors.set(apiKey, { error, times });
  }

  /** Until `accept`, nothing gets through, in either direction; connections stay open, and new ones are accepted. */
  freeze(): void {
    this.#frozen = true;
  }

  /** Ends all connections and, until `accept`, every new one at once. */
  refuse(): void {
    this.#refusing = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  accept(): void {
    this.#frozen = false;
    this.#refusing = false;
  }

  async close(): Promise<void> {
    this.refuse();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  #plan(apiKey: number, fault: Fault): void {
    this.#faults.set(apiKey, [...(this.#faults.get(apiKey) ?? []), fault]);
  }

  #strikes(apiKey: number, moment: Strike["moment"]): boolean {
    const strike = this.#strike;
    if (strike === null || strike.apiKey !== apiKey || strike.moment !== moment || strike.left-- > 0) {
      return false;
    }
    this.#strike = null;
    strike.act();
    return true;
  }

  #serve(client: Socket, host: string, port: number, ports: ReadonlyMap<string, number>): void {
    if (this.#refusing) {
      client.destroy();
      return;
    }
    const broker = dial(port, host);
    const asked = new Map<number, number>();
    const end = () => {
      client.destroy();
      broker.destroy();
    };
    for (const socket of [client, broker]) {
      this.#sockets.add(socket);
      socket.on("error", end);
      socket.on("close", () => {
        this.#sockets.delete(socket);
        end();
      });
    }
    let holding = false;
    client.on(
      "data",
      frames((frame) => {
        const apiKey = frame.readInt16BE(4);
        asked.set(frame.readInt32BE(8), apiKey);
        this.requests.push(apiKey);
        if (this.#frozen) {
          return;
        }
        if (this.#isHiding && apiKey === API.metadata && replace(frame, this.#hidden!.name, this.#hidden!.alias)) {
          this.denied++;
        }
        if (this.#strikes(apiKey, "request")) {
          end();
        } else {
          broker.write(frame);
        }
      }),
    );
    broker.on(
      "data",
      frames((frame) => {
        const apiKey = asked.get(frame.readInt32BE(4)) ?? -1;
        const planned = this.#errors.get(apiKey);
        if (planned !== undefined && planned.times-- > 0) {
          frame.writeInt16BE(planned.error, 13);
        }
        if (this.#frozen) {
          return;
        }
        if (this.#hidden !== null && apiKey === API.metadata) {
          replace(frame, this.#hidden.alias, this.#hidden.name);
        }
        const fault = this.#strikes(apiKey, "reply") ? "lose" : this.#faults.get(apiKey)?.shift();
        if (fault === "lose") {
          end();
        }
        holding ||= fault === "hold";
        if (fault === undefined && !holding) {
          client.write(apiKey === API.metadata || apiKey === API.findCoordinator ? rename(frame, ports) : frame);
        }
      }),
    );
  }
}

function hostAndPort(host: string, port: number): Buffer {
  const bytes = Buffer.alloc(host.length + 4);
  bytes.write(host, 0, "latin1");
  bytes.writeInt32BE(port, host.length);
  return bytes;
}

function rename(frame: Buffer, ports: ReadonlyMap<string, number>): Buffer {
  for (const [real, own] of ports) {
    const pattern = Buffer.from(real, "hex");
    for (let at = frame.indexOf(pattern); at >= 0; at = frame.indexOf(pattern, at + 1)) {
      frame.writeInt32BE(own, at + pattern.length - 4);
    }
  }
  return frame;
}

/** In place, so both must be of one length. True when it was there. */
function replace(frame: Buffer, text: string, by: string): boolean {
  const at = frame.indexOf(text, 0, "latin1");
  if (at >= 0) {
    frame.write(by, at, "latin1");
  }
  return at >= 0;
}

function frames(each: (frame: Buffer) => void): (chunk: Buffer) => void {
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
