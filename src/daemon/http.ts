// What the daemon's HTTP servers share: listening with errors that have names, ending at once, answering.
import { createServer, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { AfterimageError } from "../errors.ts";

export interface Listening {
  /** `http://127.0.0.1:7788`. */
  readonly address: string;
  readonly port: number;
  close(): Promise<void>;
}

export interface Place {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
}

/** The errors of a place where nothing can listen. */
export interface ListenErrors {
  inUse(cause: Error): AfterimageError;
  unusable(cause: Error, reason: string): AfterimageError;
}

/** Nothing here takes long or has a body, and few ask. */
export async function listen(place: Place, errors: ListenErrors, answer: RequestListener): Promise<Listening> {
  const server = createServer(answer);
  server.requestTimeout = 5_000;
  server.headersTimeout = 5_000;
  server.keepAliveTimeout = 1_000;
  server.maxConnections = 64;
  await begin(server, place, errors);
  const { port } = server.address() as AddressInfo;
  return {
    address: `http://${place.host.includes(":") ? `[${place.host}]` : place.host}:${port}`,
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function begin(server: Server, { host, port }: Place, errors: ListenErrors): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(error.code === "EADDRINUSE" ? errors.inUse(error) : errors.unusable(error, error.code ?? "unknown"));
    });
    server.listen(port, host, () => {
      server.removeAllListeners("error");
      resolve();
    });
  });
}

const HEADERS = { "cache-control": "no-store", "x-content-type-options": "nosniff" };

export function sendJson(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { ...HEADERS, "content-type": "application/json; charset=utf-8" });
  response.end(`${JSON.stringify(body)}\n`);
}

export function sendText(response: ServerResponse, contentType: string, text: string): void {
  response.writeHead(200, { ...HEADERS, "content-type": contentType });
  response.end(text);
}
