// A TCP relay to Postgres that sees the rows of one table that pass to whoever reads a snapshot.
// https://www.postgresql.org/docs/current/protocol-message-formats.html
import { createServer, connect as dial, type Server, type Socket } from "node:net";

const ROW_DESCRIPTION = 0x54;
const DATA_ROW = 0x44;
const HEADER_BYTES = 5;
const FIELD_BYTES = 18;
const SNAPSHOT = /application_name\0afterimage [a-z0-9_]+ snapshot\0/;

/** Whoever is told of a row: its values, and which connection brought it. */
export type OnRow = (values: readonly (string | null)[], connection: number) => void;

export class ReadTap {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #connections = 0;

  private constructor(host: string, port: number, columns: readonly string[], onRow: OnRow) {
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
      client.once("data", (chunk) => {
        if (SNAPSHOT.test(chunk.toString("latin1"))) {
          const connection = ++this.#connections;
          const messages = new Messages(columns, (values) => onRow(values, connection));
          server.on("data", (received) => messages.add(received));
        }
      });
    });
  }

  /** `columns`: those of the table, in their order. */
  static async start(url: string, columns: readonly string[], onRow: OnRow): Promise<ReadTap> {
    const { hostname, port } = new URL(url);
    const tap = new ReadTap(hostname, Number(port), columns, onRow);
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
}

/** Finds the rows in what a server sends. */
class Messages {
  readonly #columns: string;
  readonly #onRow: (values: (string | null)[]) => void;
  #rest = Buffer.alloc(0);
  #ofTheTable = false;

  constructor(columns: readonly string[], onRow: (values: (string | null)[]) => void) {
    this.#columns = columns.join();
    this.#onRow = onRow;
  }

  add(received: Buffer): void {
    const all = this.#rest.length === 0 ? received : Buffer.concat([this.#rest, received]);
    let at = 0;
    while (at + HEADER_BYTES <= all.length) {
      const end = at + 1 + all.readUInt32BE(at + 1);
      if (end > all.length) break;
      this.#message(all[at]!, all.subarray(at + HEADER_BYTES, end));
      at = end;
    }
    this.#rest = Buffer.from(all.subarray(at));
  }

  #message(type: number, body: Buffer): void {
    if (type === ROW_DESCRIPTION) {
      this.#ofTheTable = namesOf(body).join() === this.#columns;
    } else if (type === DATA_ROW && this.#ofTheTable) {
      this.#onRow(valuesOf(body));
    }
  }
}

function namesOf(body: Buffer): string[] {
  const names: string[] = [];
  for (let at = 2; names.length < body.readUInt16BE(0); ) {
    const end = body.indexOf(0, at);
    names.push(body.toString("utf8", at, end));
    at = end + 1 + FIELD_BYTES;
  }
  return names;
}

function valuesOf(body: Buffer): (string | null)[] {
  const values: (string | null)[] = [];
  for (let at = 2; values.length < body.readUInt16BE(0); ) {
    const length = body.readInt32BE(at);
    at += 4;
    values.push(length < 0 ? null : body.toString("utf8", at, at + length));
    at += Math.max(length, 0);
  }
  return values;
}
