// A TCP proxy that can let connections die without a word, cut them, close half of them, or make them slow.
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import { type Conditions, fairWeather, Lane } from "./lane.ts";

interface Pair {
  readonly client: Socket;
  readonly target: Socket;
  /** Bytes vanish in both directions, and nothing is closed. */
  dead: boolean;
  readonly up: Lane;
  readonly down: Lane;
}

export class TcpProxy {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #conditions: Conditions = fairWeather();
  #frozen = false;
  #refusing = false;

  private constructor(host: string, port: number) {
    this.#server = createServer({ allowHalfOpen: true }, (client) => {
      if (this.#refusing) {
        client.resetAndDestroy();
      } else {
        this.#serve(client, dial({ port, host, allowHalfOpen: true }));
      }
    });
  }

  static async start(url: string): Promise<TcpProxy> {
    const { hostname, port } = new URL(url);
    const proxy = new TcpProxy(hostname, Number(port || 5432));
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  /** The URL with the proxy's address in place of the server's. */
  through(url: string): string {
    const address = new URL(url);
    address.hostname = "127.0.0.1";
    address.port = String((this.#server.address() as { port: number }).port);
    return address.href;
  }

  /** Connections that are open. */
  get open(): number {
    return this.#pairs.size;
  }

  /** What is open now is dead from now on; new connections work. */
  forget(): void {
    for (const pair of this.#pairs) {
      pair.dead = true;
      pair.up.drop();
      pair.down.drop();
    }
  }

  /** As `forget`, and new connections are accepted and get no answer. */
  freeze(): void {
    this.#frozen = true;
    this.forget();
  }

  /** After `freeze`: new connections work again; those that died stay dead. */
  thaw(): void {
    this.#frozen = false;
  }

  /** Until `resume`, nothing moves in any connection; then it arrives, as after packets that were lost for a while. */
  stall(): void {
    this.#change({ stalled: true });
  }

  resume(): void {
    this.#change({ stalled: false });
  }

  /** Every byte arrives that much later; 0 ends it. */
  delay(ms: number): void {
    this.#change({ delayMs: ms });
  }

  /** Of each connection and direction; Infinity ends it. */
  throttle(bytesPerSecond: number): void {
    this.#change({ bytesPerSecond });
  }

  /** Resets every open connection at both ends. */
  cut(): void {
    for (const { client, target } of this.#pairs) {
      client.resetAndDestroy();
      target.resetAndDestroy();
    }
  }

  /** Every open connection is closed in the direction from the server to its client; the other one stays open. */
  halfClose(): void {
    for (const { down } of this.#pairs) {
      down.end();
    }
  }

  /** Cuts all connections and, until `accept`, every new one at once. */
  refuse(): void {
    this.#refusing = true;
    this.cut();
  }

  accept(): void {
    this.#refusing = false;
  }

  /** Ends everything that was planned or goes on; what died stays dead. */
  heal(): void {
    this.accept();
    this.thaw();
    this.#change(fairWeather());
  }

  async close(): Promise<void> {
    for (const { client, target } of this.#pairs) {
      client.destroy();
      target.destroy();
    }
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #change(conditions: Partial<Conditions>): void {
    Object.assign(this.#conditions, conditions);
    for (const { up, down } of this.#pairs) {
      up.move();
      down.move();
    }
  }

  #serve(client: Socket, target: Socket): void {
    const up = new Lane(client, target, this.#conditions);
    const down = new Lane(target, client, this.#conditions);
    const pair: Pair = { client, target, dead: this.#frozen, up, down };
    this.#pairs.add(pair);
    const relay = (from: Socket, to: Socket, lane: Lane) => {
      from.on("data", (chunk) => pair.dead || lane.send(chunk));
      from.on("end", () => pair.dead || lane.end());
      from.on("error", () => undefined); // "close" follows
      from.on("close", (hadError) => {
        if (!pair.dead) hadError ? to.resetAndDestroy() : lane.close();
        if (client.destroyed && target.destroyed) this.#pairs.delete(pair);
      });
    };
    relay(client, target, up);
    relay(target, client, down);
  }
}
