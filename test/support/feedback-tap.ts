// A TCP relay to Postgres that notes when standby status updates pass: how much its client does in between.
import { readFileSync } from "node:fs";
import { createServer, connect as dial, type Server, type Socket } from "node:net";

const COPY_DATA = 0x64;
const STATUS_UPDATE = 0x72;
const LOOK_EVERY_MS = 20;
/** Of /proc/PID/stat, on every Linux that Node runs on. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
const TICK_MS = 10;

/** Milliseconds that the main thread has worked; null when the process is gone. */
function workedMs(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/task/${pid}/stat`, "utf8");
    const [user, system] = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .slice(11, 13)
      .map(Number);
    return (user! + system!) * TICK_MS;
  } catch {
    return null;
  }
}

export class FeedbackTap {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #last: { readonly client: Socket; readonly worked: number } | null = null;
  #watched: { readonly pid: number; worked: number; readonly looking: NodeJS.Timeout } | null = null;
  /**
   * Milliseconds that the watched process's main thread worked between two updates, or from the last one to the end of
   * its connection; the most so far. Work, since what the machine does for others meanwhile is not the process's doing.
   */
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

  /** From here on its work is measured; the tap is used by no other. */
  watch(pid: number): void {
    const watched = { pid, worked: workedMs(pid) ?? 0, looking: setInterval(() => this.#look(), LOOK_EVERY_MS) };
    this.#watched = watched;
  }

  async close(): Promise<void> {
    clearInterval(this.#watched?.looking);
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** A process that has ended has worked as long as it had at the last look. */
  #look(): number {
    if (this.#watched === null) return 0;
    this.#watched.worked = workedMs(this.#watched.pid) ?? this.#watched.worked;
    return this.#watched.worked;
  }

  #note(client: Socket, chunk: Buffer): void {
    if (chunk[0] !== COPY_DATA || chunk[5] !== STATUS_UPDATE) return;
    this.#ended(this.#last?.client);
    if (this.#watched === null) return;
    this.#last = { client, worked: this.#look() };
    this.updates++;
  }

  #ended(client: Socket | undefined): void {
    if (this.#last === null || this.#last.client !== client) return;
    this.longestMs = Math.max(this.longestMs, this.#look() - this.#last.worked);
    this.#last = null;
  }
}
