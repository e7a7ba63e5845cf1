// A TCP relay to Postgres that notes when standby status updates pass: how long the server has to do without.
import { createServer, connect as dial, type Server, type Socket } from "node:net";

const COPY_DATA = 0x64;
const STATUS_UPDATE = 0x72;

export class FeedbackTap {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #last: { readonly client: Socket; readonly at: number } | null = null;
  /** Milliseconds between two updates, or from the last one to the end of its connection; the longest so far. */
  longestMs = 0;
  updates = 0;

  private constructor(host: string, port: number) {
    this.#server = createServer((client) => {
      const server = dial({ host, port });
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        this.#sockets.add(from);
        from.pipe(to);
        from.on("error", () => to.destroy()).on("close", () => to.destroy());
      }
      client.on("data", (chunk) => this.#note(client, chunk));
      client.on("close", () => this.#ended(client));
    });
  }

  static async start(url: string): Promise<FeedbackTap> {
    const { hostname, port } = new URL(url);
    const tap = new FeedbackTap(hostname, Number(port));
    await new Promise<void>((resolve) => tap.#server.listen(0, "127.0.0.1", resolve));
    return tap;
  }

  through(url: string): string {
    const address = new URL(url);
    address.hostname = "127.0.0.1";
    address.port = String((this.#server.address() as { port: number }).port);
    return address.href;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #note(client: Socket, chunk: Buffer): void {
    if (chunk[0] !== COPY_DATA || chunk[5] !== STATUS_UPDATE) return;
    this.#ended(this.#last?.client);
    this.#last = { client, at: performance.now() };
    this.updates++;
  }

  #ended(client: Socket | undefined): void {
    if (this.#last === null || this.#last.client !== client) return;
    this.longestMs = Math.max(this.longestMs, performance.now() - this.#last.at);
    this.#last = null;
  }
}
