// The image's health check: exits 0 when this container's daemon answers /healthz with 200, else says why and exits 1.
// It reads the settings that the daemon reads, so that another admin address needs no second place.
import { sourcesOf } from "../../dist/cli/options.js";
import { loadConfigPart } from "../../dist/config/config.js";

const PATIENCE_MS = 3_000;

/** A daemon that listens everywhere is asked at this machine's own address. */
function hostToAsk(host) {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}

try {
  const { admin } = loadConfigPart(sourcesOf({}), ["admin"]);
  const response = await fetch(`http://${hostToAsk(admin.host)}:${admin.port}/healthz`, {
    signal: AbortSignal.timeout(PATIENCE_MS),
    redirect: "error",
  });
  process.stdout.write(await response.text());
  process.exitCode = response.ok ? 0 : 1;
} catch (error) {
  process.stderr.write(`${error.cause?.code ?? error.message}\n`);
  process.exitCode = 1;
}
