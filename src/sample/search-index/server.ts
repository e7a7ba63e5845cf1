// The sample's HTTP server: the page's files and a small read-only API.
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { AfterimageError } from "../../sdk/index.ts";
import type { LiveFeed } from "./live-feed.ts";
import type { ProductSearch } from "./search.ts";

export interface SearchServerOptions {
  readonly host: string;
  readonly port: number;
  readonly allowedHosts: readonly string[];
  readonly search: ProductSearch;
  readonly feed: LiveFeed;
  readonly status: () => { readonly state: string };
}

export interface SearchServer {
  readonly url: string;
  close(): Promise<void>;
}

const PAGE: ReadonlyMap<string, { readonly type: string; readonly body: Buffer }> = new Map(
  (
    [
      ["/", "index.html", "text/html; charset=utf-8"],
      ["/app.js", "app.js", "text/javascript; charset=utf-8"],
      ["/result-list.js", "result-list.js", "text/javascript; charset=utf-8"],
      ["/style.css", "style.css", "text/css; charset=utf-8"],
      ["/favicon.svg", "favicon.svg", "image/svg+xml"],
    ] as const
  ).map(([path, file, type]) => [path, { type, body: readFileSync(new URL(`page/${file}`, import.meta.url)) }]),
);

const SECURITY_HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-cache",
};

const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"];
const DEFAULT_LIMIT = 20;
const HIGHEST_LIMIT = 100;

/** @throws PORT_IN_USE, LISTEN_FAILED */
export async function startSearchServer(options: SearchServerOptions): Promise<SearchServer> {
  const hosts = new Set([...LOOPBACK_NAMES, options.host, ...options.allowedHosts].map((name) => name.toLowerCase()));
  const server = createServer((request, response) => {
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) {
      response.setHeader(name, value);
    }
    // Another site's name that resolves to this machine must not read the index (DNS rebinding).
    if (!hosts.has(hostName(request))) {
      sendJson(response, 421, { error: "HOST_NOT_ALLOWED" });
    } else if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("allow", "GET, HEAD");
      sendJson(response, 405, { error: "METHOD_NOT_ALLOWED" });
    } else {
      answer(options, request, response);
    }
  });
  server.requestTimeout = 10_000;
  await listen(server, options.host, options.port);
  const { port } = server.address() as AddressInfo;
  const shownHost = options.host.includes(":") ? `[${options.host}]` : options.host;
  return {
    url: `http://${shownHost === "0.0.0.0" ? "localhost" : shownHost}:${port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer(options: SearchServerOptions, request: IncomingMessage, response: ServerResponse): void {
  const url = URL.parse(request.url ?? "/", "http://localhost");
  const path = url?.pathname ?? "";
  const file = PAGE.get(path);
  if (file !== undefined) {
    response.writeHead(200, { "content-type": file.type, "content-length": file.body.length });
    response.end(request.method === "HEAD" ? undefined : file.body);
  } else if (path === "/api/search") {
    sendJson(response, 200, searchResult(options, url!.searchParams));
  } else if (path === "/api/status") {
    sendJson(response, 200, options.status());
  } else if (path === "/healthz") {
    const { state } = options.status();
    sendJson(response, state === "failed" ? 503 : 200, { state });
  } else if (path !== "/api/live") {
    sendJson(response, 404, { error: "NOT_FOUND" });
  } else if (!options.feed.add(response)) {
    sendJson(response, 503, { error: "TOO_MANY_PAGES" });
  }
}

function searchResult({ search }: SearchServerOptions, parameters: URLSearchParams): object {
  const query = parameters.get("q") ?? "";
  const limit = Math.min(Math.max(Math.trunc(Number(parameters.get("limit"))) || DEFAULT_LIMIT, 1), HIGHEST_LIMIT);
  const begun = performance.now();
  const result = search.find(query, limit);
  return { query, ...result, milliseconds: Math.round((performance.now() - begun) * 100) / 100 };
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json; charset=utf-8", "cache-control": "no-store" });
  response.end(JSON.stringify(body));
}

/** Lower-case, without the port. */
function hostName({ headers }: IncomingMessage): string {
  return (headers.host ?? "").toLowerCase().replace(/:\d+$/, "");
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", (cause: NodeJS.ErrnoException) =>
    reject(
      cause.code === "EADDRINUSE"
        ? new AfterimageError(
            "PORT_IN_USE",
            `Port ${port} on ${host} is taken.`,
            "Stop what uses it, or give --port (0 takes a free one).",
          )
        : new AfterimageError(
            "LISTEN_FAILED",
            `The page can't listen on ${host} port ${port}: ${cause.code ?? "unknown reason"}.`,
            "Give another --host or --port.",
            { cause },
          ),
    ),
  );
  server.listen(port, host, resolve);
  await promise;
}
