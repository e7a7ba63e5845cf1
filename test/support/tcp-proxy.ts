// A TCP proxy that can let connections die without a word: bytes vanish in both directions, nothing is closed.
import { createServer, connect as dial, type Server, type Socket } from "node:net";

export class TcpProxy {
  readonly #server: Server;
  readonly #pairs = new Set<{ client: Socket; target: Socket; dead: boolean }>();
  #frozen = false;

  private constructor(host: string, port: number) {
    this.#server = createServer({ allowHalfOpen: true }, (client) =>
      this.#serve(client, dial({ port, host, allowHalfOpen: true })),
    );
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

  /** What is open now is dead from now on; new connections work. */
  forget(): void {
    for (const pair of this.#pairs) pair.dead = true;
  }

  /** As `forget`, and new connections are accepted and get no answer. */
  freeze(): void {
    this.#frozen = true;
    this.forget();
  }

  async close(): Promise<void> {
    for (const { client, target } of this.#pairs) {
      client.destroy();
      target.destroy();
    }
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(client: Socket, target: Socket): void {
    const pair = { client, target, dead: this.#frozen };
    this.#pairs.add(pair);
    const relay = (from: Socket, to: Socket) => {
      from.on("data", (chunk) => pair.dead || to.write(chunk));
      from.on("end", () => pair.dead || to.end());
      from.on("error", () => undefined); // "close" follows
      from.on("close", () => pair.dead || to.destroy());
    };
    relay(client, target);
    relay(target, client);
  }
}
