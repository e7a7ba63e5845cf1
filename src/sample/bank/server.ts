// The bank's HTTP server: bookings as JSON, and a page with the audit trail.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { AfterimageError, type StoredEvent } from "../../sdk/index.ts";
import { type AccountEvents, SIGN } from "./account.ts";
import type { Bank } from "./bank.ts";

const PAGE_SIZE = 100;
const LONGEST_BODY = 10_000;
/** What a customer can get wrong. */
const REFUSED = new Set([
  "AMOUNT_INVALID",
  "ACCOUNT_INVALID",
  "FUNDS_INSUFFICIENT",
  "EVENT_INVALID",
  "STREAM_VERSION_MISSING",
]);

/**
 * | request | does |
 * |---|---|
 * | `POST /accounts/A/deposit`, `/withdraw` with `{ cents, reference? }` | books |
 * | `POST /accounts/A/transfer` with `{ cents, to, reference? }` | books at both ends |
 * | `GET /accounts/A?version=N` or `?time=T` | `{ account, cents }`, now or then |
 * | `GET /?from=POSITION` | the audit trail, a page for people |
 */
export function bankServer(bank: Bank): Server {
  return createServer((request, response) => {
    answer(bank, request, response).catch((error: unknown) => {
      const known = error instanceof AfterimageError && REFUSED.has(error.code);
      send(
        response,
        known ? 422 : 503,
        JSON.stringify(known ? { error: error.code, message: error.message } : { error: "UNAVAILABLE" }),
      );
    });
  });
}

async function answer(bank: Bank, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = URL.parse(request.url ?? "/", "http://localhost");
  const [, root, account = "", booking] = url?.pathname.split("/") ?? [];
  if (request.method === "GET" && url?.pathname === "/") {
    const from = Math.max(Math.trunc(Number(url.searchParams.get("from"))) || 0, 0);
    send(response, 200, trailPage(await bank.trail(from, PAGE_SIZE)), "text/html; charset=utf-8");
  } else if (request.method === "GET" && root === "accounts" && booking === undefined) {
    const [version, time] = [url!.searchParams.get("version"), url!.searchParams.get("time")];
    const at = { ...(version !== null && { version: Number(version) }), ...(time !== null && { time }) };
    send(response, 200, JSON.stringify({ account, cents: await bank.balance(account, at) }));
  } else if (request.method === "POST" && root === "accounts" && booking !== undefined) {
    await book(bank, account, booking, await bodyOf(request));
    send(response, 201, JSON.stringify({ account, cents: await bank.balance(account) }));
  } else {
    send(response, 404, JSON.stringify({ error: "NOT_FOUND" }));
  }
}

async function book(bank: Bank, account: string, booking: string, body: Record<string, unknown>): Promise<void> {
  const cents = body.cents as number;
  const reference = typeof body.reference === "string" ? body.reference : undefined;
  switch (booking) {
    case "deposit":
      return bank.deposit(account, cents, reference);
    case "withdraw":
      return bank.withdraw(account, cents, reference);
    case "transfer":
      return bank.transfer(account, body.to as string, cents, reference);
    default:
      throw new AfterimageError("EVENT_INVALID", "There is no such booking.", "Use deposit, withdraw or transfer.");
  }
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) {
    text += chunk;
    if (text.length > LONGEST_BODY) break;
  }
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null) return body as Record<string, unknown>;
  } catch {
    // said below
  }
  throw new AfterimageError("EVENT_INVALID", "The body is no JSON object.", 'Send {"cents": 100}.');
}

export function trailPage(events: readonly StoredEvent<AccountEvents>[]): string {
  const rows = events.map(({ position, time, stream, version, type, data }) => {
    const words = ["other" in data ? data.other : "", data.reference ?? ""];
    const cells = [
      position,
      time,
      stream.replace(/^account-/, ""),
      version,
      type,
      amount(SIGN[type] * data.cents),
      ...words,
    ];
    return `<tr>${cells.map((cell) => `<td>${escaped(String(cell))}</td>`).join("")}</tr>`;
  });
  const last = events.at(-1)?.position;
  const next = events.length < PAGE_SIZE ? "" : `<p><a href="/?from=${last}">what came after ${last}</a></p>`;
  const titles = ["#", "time (UTC)", "account", "its event", "what", "amount", "other account", "reference"];
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Audit trail</title><style>
body { font: 15px system-ui, sans-serif; margin: 2rem } table { border-collapse: collapse }
td, th { padding: 0.3rem 0.8rem; border-bottom: 1px solid #ddd; text-align: left } td:nth-child(6) { text-align: right }
</style></head><body><h1>Audit trail</h1>
<p>Everything that happened in the bank, in order. Nothing in it can be changed or removed.</p>
<table><thead><tr>${titles.map((title) => `<th>${title}</th>`).join("")}</tr></thead><tbody>${rows.join("\n")}</tbody></table>${next}</body></html>`;
}

/** `-1234` cents as `-12.34`. */
function amount(cents: number): string {
  const digits = String(Math.abs(cents)).padStart(3, "0");
  return `${cents < 0 ? "-" : "+"}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

const escaped = (text: string): string => text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

function send(response: ServerResponse, status: number, body: string, type = "application/json; charset=utf-8"): void {
  response.writeHead(status, {
    "content-type": type,
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
  });
  response.end(body);
}
