// GET /metrics, /healthz and /readyz, for machines: at the admin address, and, where `metrics` is set, at one of their own
// that others may reach. Nothing here says more than numbers, states, codes and the names of tables and topics.
import type { ServerResponse } from "node:http";
import { AfterimageError, messageOf } from "../errors.ts";
import { health, readiness } from "./health.ts";
import { type Listening, listen, type Place, sendJson, sendText } from "./http.ts";
import { renderMetrics } from "./metrics.ts";
import type { DaemonStatus } from "./status.ts";

/** Whether it was one of them. */
export function answerProbe(path: string, status: () => DaemonStatus, response: ServerResponse): boolean {
  switch (path) {
    case "/healthz":
    case "/readyz": {
      const verdict = (path === "/healthz" ? health : readiness)(status());
      sendJson(response, verdict.ok ? 200 : 503, verdict);
      return true;
    }
    case "/metrics":
      void sendMetrics(status, response);
      return true;
    default:
      return false;
  }
}

async function sendMetrics(status: () => DaemonStatus, response: ServerResponse): Promise<void> {
  try {
    const { contentType, text } = await renderMetrics(status());
    sendText(response, contentType, text);
  } catch (error) {
    // A scrape that fails is no reason to end a stream.
    sendJson(response, 500, { error: messageOf(error) });
  }
}

/** Throws METRICS_PORT_IN_USE or METRICS_ADDRESS. */
export async function startMetricsServer(place: Place, status: () => DaemonStatus): Promise<Listening> {
  const { host, port } = place;
  const errors = {
    inUse: (cause: Error) =>
      new AfterimageError(
        "METRICS_PORT_IN_USE",
        `The metrics address ${host}:${port} is in use.`,
        "Choose another port: metrics.port or AFTERIMAGE_METRICS_PORT; 0 takes any free one.",
        { cause },
      ),
    unusable: (cause: Error, reason: string) =>
      new AfterimageError(
        "METRICS_ADDRESS",
        `The metrics address ${host}:${port} can't be used (${reason}).`,
        "Set metrics.host to an address of this machine, such as 0.0.0.0 or 127.0.0.1, and metrics.port to a free port above 1023.",
        { cause },
      ),
  };
  return listen(place, errors, (request, response) => {
    request.resume();
    const path = (request.url ?? "/").split("?", 1)[0]!;
    if (request.method !== "GET" && request.method !== "HEAD") {
      sendJson(response, 405, { error: "Only GET is answered here." });
    } else if (!answerProbe(path, status, response)) {
      sendJson(response, 404, { error: "Known are GET /metrics, /healthz and /readyz." });
    }
  });
}
