// Real Kafka brokers behind TCP proxies that lose, hold and delay the requests and replies they are told to, so that a
// client meets the outcomes nobody knows. Brokers name the proxies as their addresses.
import { createServer, connect as dial, type Server } from "node:net";
import type { TopicPartition } from "../../src/kafka/protocol/transaction.ts";
import { API, frames, hostAndPort, rename, replace, withPlaces } from "./kafka-frames.ts";
import { KafkaLink } from "./kafka-link.ts";
import { type Conditions, fairWeather } from "./lane.ts";
import { type Strike, Strikes } from "./strikes.ts";
import { ownBrokers } from "./topics.ts";

export { API } from "./kafka-frames.ts";

/** The preflight asks for its rights as a producer that nobody is: nothing that a test plans is meant for that. */
const NOBODY = Buffer.from("7fffffffffffffff", "hex");
const ASIDE = -1;

type Fault = "lose" | "hold";

export class KafkaProxy {
  readonly #faults = new Map<number, Fault[]>();
  readonly #links = new Set<KafkaLink>();
  readonly #servers: Server[] = [];
  /** By broker, in the order of `addresses`. */
  readonly #conditions: Conditions[] = [];
  readonly #errors = new Map<number, { error: number; times: number }>();
  /** API keys of requests that shall be held. */
  readonly #toHold: number[] = [];
  /** Of the brokers, to the proxies' own. */
  readonly #ports = new Map<string, number>();
  #begunOnly: { readonly naming: string; readonly places: readonly TopicPartition[]; done(): void } | null = null;
  #refusing = false;
  #frozen = false;
  readonly #strikes = new Strikes();
  #transactionTimeout: number | null = null;
  #hidden: { readonly name: string; readonly alias: string } | null = null;
  #isHiding = false;
  /** Metadata requests that asked for the hidden topic. */
  denied = 0;
  /** API keys of the requests that came, in order. */
  readonly requests: number[] = [];
  addresses: string[] = [];

  /** `brokers`: `host:port` of each, running or not; those of the run's own cluster by default. */
  static async start(brokers?: readonly string[]): Promise<KafkaProxy> {
    const proxy = new KafkaProxy();
    for (const broker of brokers ?? (await ownBrokers())) {
      const [host = "", port] = broker.split(":");
      await proxy.#listen(host, Number(port));
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
   * The next request of this kind, and what follows it on its connection, does not reach the broker before
   * `releaseHeld`, whether or not the client still waits for it then.
   */
  holdRequest(apiKey: number): void {
    this.#toHold.push(apiKey);
  }

  /** Connections that are open through it. */
  get open(): number {
    return this.#links.size;
  }

  /** Losses and holds that wait for a request or reply of their kind. */
  get planned(): number {
    return this.#toHold.length + [...this.#faults.values()].reduce((sum, own) => sum + own.length, 0);
  }

  /** Requests that are held. */
  get held(): number {
    return [...this.#links].reduce((sum, link) => sum + link.held, 0);
  }

  /** Lets the brokers have what `holdRequest` held; resolves, when they have answered all of it, with how much that was. */
  async releaseHeld(): Promise<number> {
    const counts = await Promise.all([...this.#links].map((link) => link.release()));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /**
   * At the n-th request of this kind, before the broker gets it, or at its reply, before the client gets that: acts, and
   * lets nothing of that connection through any more, unless `cut` is false. `naming`: only those count that hold this
   * text, as a topic's name, and no idle progress record that others' WAL has called for.
   */
  strikeAt(apiKey: number, nth: number, moment: Strike["moment"], act: () => void, how: Partial<Strike> = {}): void {
    this.#strikes.plan({ apiKey, moment, act, cut: true, naming: "", ...how, left: nth - 1 });
  }

  /** Producers that initialise themselves from now on get this transaction timeout in place of their own. */
  limitTransactions(milliseconds: number): void {
    this.#transactionTimeout = milliseconds;
  }

  /**
   * The coordinator hears of these partitions in place of those that the next transaction of the stream names, and ends
   * it only there: as if it had lost the markers of all others. Brokers take the records only without
   * `transaction.partition.verification.enable`. `naming`: of its partitions' topics. Resolves when it begins.
   */
  loseMarkersBut(naming: string, places: readonly TopicPartition[]): Promise<void> {
    return new Promise((done) => {
      this.#begunOnly = { naming, places, done };
    });
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

  /** Until `accept`, all that is sent, in either direction, vanishes; connections stay open, and new ones are accepted. */
  freeze(): void {
    this.#frozen = true;
  }

  /** Ends all connections and, until `accept`, every new one at once. */
  refuse(): void {
    this.#refusing = true;
    for (const link of this.#links) link.destroy();
  }

  accept(): void {
    this.#frozen = false;
    this.#refusing = false;
  }

  /** Until `resume`, nothing moves; then it arrives, as after packets that were lost for a while. `node`: from 0. */
  stall(node?: number): void {
    this.#change({ stalled: true }, node);
  }

  resume(): void {
    this.#change({ stalled: false });
  }

  /** Every frame arrives that much later, of one broker or all; 0 ends it. */
  delay(ms: number, node?: number): void {
    this.#change({ delayMs: ms }, node);
  }

  /** Of each connection and direction; Infinity ends it. */
  throttle(bytesPerSecond: number, node?: number): void {
    this.#change({ bytesPerSecond }, node);
  }

  /** Resets every open connection at both ends. */
  cut(): void {
    for (const link of this.#links) link.reset();
  }

  /** Closes every open connection towards the client; what the client still sends reaches the broker. */
  halfClose(): void {
    for (const link of this.#links) link.down.end();
  }

  /** Ends everything that was planned or goes on, and lets go of what is held. */
  async heal(): Promise<void> {
    this.#faults.clear();
    this.#errors.clear();
    this.#toHold.length = 0;
    this.#strikes.plan(null);
    this.show();
    this.accept();
    this.#change(fairWeather());
    await this.releaseHeld();
  }

  async close(): Promise<void> {
    this.refuse();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  #plan(apiKey: number, fault: Fault): void {
    this.#faults.set(apiKey, [...(this.#faults.get(apiKey) ?? []), fault]);
  }

  #change(conditions: Partial<Conditions>, node?: number): void {
    for (const own of node === undefined ? this.#conditions : [this.#conditions[node]!]) {
      Object.assign(own, conditions);
    }
    for (const { up, down } of this.#links) {
      up.move();
      down.move();
    }
  }

  async #listen(host: string, port: number): Promise<void> {
    const conditions = fairWeather();
    this.#conditions.push(conditions);
    const server = createServer({ allowHalfOpen: true }, (client) => {
      if (this.#refusing) {
        client.destroy();
        return;
      }
      const link = new KafkaLink(client, dial({ port, host, allowHalfOpen: true }), conditions);
      this.#links.add(link);
      link.onGone = () => this.#links.delete(link);
      client.on(
        "data",
        frames((frame) => this.#request(link, frame)),
      );
      link.broker.on(
        "data",
        frames((frame) => this.#reply(link, frame)),
      );
    });
    this.#servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, host, resolve));
    const own = (server.address() as { port: number }).port;
    this.#ports.set(hostAndPort(host, port).toString("hex"), own);
    this.addresses.push(`${host}:${own}`);
  }

  #request(link: KafkaLink, frame: Buffer): void {
    const apiKey = frame.readInt16BE(4);
    const isAside = frame.includes(NOBODY);
    link.asked.set(frame.readInt32BE(8), isAside ? ASIDE : apiKey);
    if (!isAside) this.requests.push(apiKey);
    if (this.#frozen) {
      return;
    }
    if (isAside) {
      link.request(frame);
      return;
    }
    if (this.#isHiding && apiKey === API.metadata && replace(frame, this.#hidden!.name, this.#hidden!.alias)) {
      this.denied++;
    }
    if (apiKey === API.initProducerId && this.#transactionTimeout !== null) {
      frame.writeInt32BE(this.#transactionTimeout, frame.length - 15); // before id, epoch and tags
    }
    if (this.#strikes.at(apiKey, "request", frame)) {
      link.destroy();
      return;
    }
    if (apiKey === API.addPartitions && this.#begunOnly !== null && frame.includes(this.#begunOnly.naming)) {
      link.request(withPlaces(frame, this.#begunOnly.places));
      this.#begunOnly.done();
      this.#begunOnly = null;
      return;
    }
    const planned = this.#toHold.indexOf(apiKey);
    if (planned >= 0) {
      this.#toHold.splice(planned, 1);
      link.hold();
    }
    link.request(frame);
  }

  #reply(link: KafkaLink, frame: Buffer): void {
    const correlationId = frame.readInt32BE(4);
    const apiKey = link.asked.get(correlationId) ?? -1;
    link.asked.delete(correlationId);
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
    const fault = this.#strikes.at(apiKey, "reply", frame) ? "lose" : this.#faults.get(apiKey)?.shift();
    if (fault === "lose") {
      link.destroy();
      return;
    }
    link.silent ||= fault === "hold";
    if (!link.silent) {
      link.down.send(apiKey === API.metadata || apiKey === API.findCoordinator ? rename(frame, this.#ports) : frame);
    }
    link.answered(correlationId);
  }
}
