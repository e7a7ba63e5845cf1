// The dashboard's files: a page that reads status and history of the daemon that serves it, and nothing from elsewhere.
import { readFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { messageOf } from "../errors.ts";
import { sendJson } from "./http.ts";

const page = (name: string) => () => new URL(`dashboard/${name}`, import.meta.url);
const packaged = (name: string) => () => pathToFileURL(createRequire(import.meta.url).resolve(name));

const HTML = "text/html; charset=utf-8";
const SCRIPT = "text/javascript; charset=utf-8";
const STYLE = "text/css; charset=utf-8";

const FILES: ReadonlyMap<string, readonly [find: () => URL, type: string]> = new Map([
  ["/", [page("index.html"), HTML]],
  ["/app.js", [page("app.js"), SCRIPT]],
  ["/charts.js", [page("charts.js"), SCRIPT]],
  ["/tables.js", [page("tables.js"), SCRIPT]],
  ["/words.js", [page("words.js"), SCRIPT]],
  ["/format.js", [page("format.js"), SCRIPT]],
  ["/style.css", [page("style.css"), STYLE]],
  ["/favicon.svg", [page("favicon.svg"), "image/svg+xml"]],
  ["/uplot.js", [packaged("uplot/dist/uPlot.esm.js"), SCRIPT]],
  ["/uplot.css", [packaged("uplot/dist/uPlot.min.css"), STYLE]],
]);

/** Scripts, styles, pictures and data are this server's own; nothing inline, no frame around it. */
const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "cache-control": "no-cache",
};

/** Whether it was one of its files. Read when they are asked for: a daemon streams without them. */
export function answerPage(path: string, response: ServerResponse): boolean {
  const file = FILES.get(path);
  if (file === undefined) {
    return false;
  }
  const [find, type] = file;
  void send(find, type, response);
  return true;
}

async function send(find: () => URL, type: string, response: ServerResponse): Promise<void> {
  try {
    const body = await readFile(find());
    response.writeHead(200, { ...HEADERS, "content-type": type, "content-length": body.length });
    response.end(body);
  } catch (error) {
    sendJson(response, 500, { error: `This installation lacks a file of the dashboard (${messageOf(error)}).` });
  }
}
