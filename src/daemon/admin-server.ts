// The admin address: the dashboard for people, status, metrics and health for machines, stop and snapshot for the command
// line.
// No web page may use it: names other than ours in Host are refused (DNS rebinding), so is every foreign Origin, and
// commands ask for a header that a page can't send without asking first.
import type { IncomingMessage, ServerResponse } from "node:http";
import { AfterimageError } from "../errors.ts";
import { answerPage } from "./dashboard.ts";
import { reported } from "./error-policy.ts";
import type { History } from "./history.ts";
import { type ListenErrors, listen, sendJson as send } from "./http.ts";
import { answerProbe } from "./probes.ts";
import type { DaemonStatus } from "./status.ts";

/** Must accompany POST requests; a browser sends it across origins only after a preflight, which is never granted. */
export const COMMAND_HEADER = "x-afterimage-command";

export interface AdminServerOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Further names by which clients may ask. Addresses and localhost always may. */
  readonly hostnames?: readonly string[];
  readonly status: () => DaemonStatus;
  readonly history: History;
  /** Begins the stop; the answer doesn't wait for its end. */
  readonly stop: () => void;
  /** Begins a snapshot; resolves once that is durable. */
  readonly snapshot: (table: string, where: string | null) => Promise<void>;
  /** Gives a snapshot up; resolves once that is durable. */
  readonly cancelSnapshot: (table: string) => Promise<void>;
}

export interface AdminServer {
  /** `http://127.0.0.1:7788`. */
  readonly address: string;
  /** What an operator should know, such as an address that others can reach. */
  readonly notes: readonly string[];
  close(): Promise<void>;
}

/** Throws ADMIN_PORT_IN_USE or ADMIN_ADDRESS. */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const { host } = options;
  const server = await listen(options, errorsAt(options), (request, response) => answer(options, request, response));
  return {
    address: server.address,
    notes: isLoopback(host)
      ? []
      : [
          `The admin address ${host}:${server.port} can be reached by other machines; whoever reaches it can read the status, ask for snapshots and stop the daemon.`,
        ],
    close: server.close,
  };
}

const errorsAt = ({ host, port }: AdminServerOptions): ListenErrors => ({
  inUse: (cause) =>
    new AfterimageError(
      "ADMIN_PORT_IN_USE",
      `The admin address ${host}:${port} is in use.`,
      "Another daemon may run here (afterimage status tells). Else choose another port: --admin-port N, AFTERIMAGE_ADMIN_PORT or admin.port; 0 takes any free one.",
      { cause },
    ),
  unusable: (cause, reason) =>
    new AfterimageError(
      "ADMIN_ADDRESS",
      `The admin address ${host}:${port} can't be used (${reason}).`,
      "Set admin.host to an address of this machine, such as 127.0.0.1, and admin.port to a free port above 1023.",
      { cause },
    ),
});

function answer(options: AdminServerOptions, request: IncomingMessage, response: ServerResponse): void {
  // Bodies are not wanted; what comes is read away so that the connection can be used again.
  request.resume();
  const refusal = refuse(options, request);
  if (refusal !== null) {
    send(response, refusal.code, { error: refusal.text });
    return;
  }
  const path = (request.url ?? "/").split("?", 1)[0]!;
  const method = request.method === "HEAD" ? "GET" : request.method;
  if (method === "GET" && (answerProbe(path, options.status, response) || answerPage(path, response))) {
    return;
  }
  switch (`${method} ${path}`) {
    case "GET /status":
      send(response, 200, options.status());
      return;
    case "GET /history":
      send(response, 200, options.history.after(Number(queryOf(request).get("after")) || 0));
      return;
    case "POST /stop":
      send(response, 202, { stopping: true });
      options.stop();
      return;
    case "POST /snapshot":
      void snapshot(options, request, response);
      return;
    default:
      send(response, 404, {
        error: "Known are GET /, /status, /history, /metrics, /healthz and /readyz, POST /stop and /snapshot.",
      });
  }
}

async function snapshot(
  options: AdminServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const searchParams = queryOf(request);
  const where = searchParams.get("where");
  try {
    if (where !== null && !isLoopback(options.host)) {
      // It is SQL, run as the daemon's user; everybody reaches this address.
      throw new AfterimageError(
        "SNAPSHOT_CONDITION",
        `A condition is taken only at a loopback address, and admin.host is ${options.host}.`,
        "Leave --where out, or set admin.host to 127.0.0.1.",
      );
    }
    const table = searchParams.get("table") ?? "";
    if (searchParams.has("cancel")) {
      await options.cancelSnapshot(table);
      send(response, 202, { cancelled: true });
      return;
    }
    await options.snapshot(table, where);
    send(response, 202, { begun: true });
  } catch (error) {
    const { code, message, advice } = reported(error);
    send(response, 409, { code, message, advice });
  }
}

const queryOf = ({ url = "/" }: IncomingMessage): URLSearchParams =>
  new URLSearchParams(url.includes("?") ? url.slice(url.indexOf("?") + 1) : "");

const LARGEST_BODY = 1024;

function refuse(options: AdminServerOptions, request: IncomingMessage): { code: number; text: string } | null {
  const { host, origin } = request.headers;
  if (host === undefined || !isAllowedHost(host, options)) {
    return { code: 403, text: "The Host header is not a name of this daemon; add it to admin.hostnames." };
  }
  if (origin !== undefined && origin !== `http://${host}`) {
    return { code: 403, text: "Requests of other origins are refused." };
  }
  if (Number(request.headers["content-length"] ?? 0) > LARGEST_BODY || "transfer-encoding" in request.headers) {
    return { code: 413, text: "No body is expected." };
  }
  if (request.method === "POST" && request.headers[COMMAND_HEADER] === undefined) {
    return { code: 403, text: `The header ${COMMAND_HEADER} is missing.` };
  }
  return null;
}

/** A literal address can't be rebound by DNS; of names only those that are ours are taken. */
export function isAllowedHost(
  header: string,
  { host, hostnames = [] }: Pick<AdminServerOptions, "host" | "hostnames">,
): boolean {
  const name = header.replace(/:\d{1,5}$/, "").toLowerCase();
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(name) || /^\[[0-9a-f:.]+\]$/.test(name)) return true;
  return ["localhost", host, ...hostnames].some((known) => known.toLowerCase() === name);
}

const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || /^127\./.test(host);
