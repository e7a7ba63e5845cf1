// `afterimage start`: runs the daemon in this process until it is stopped; with --detach in another one.
import { setTimeout as sleep } from "node:timers/promises";
import { type Config, loadConfig } from "../config/config.ts";
import type { Daemon } from "../daemon/daemon.ts";
import { writePidFile } from "../daemon/pid-file.ts";
import { AfterimageError } from "../errors.ts";
import { createLogger, isReadable, type Logger } from "./logger.ts";
import { type Flags, sourcesOf } from "./options.ts";
import { toAfterimageError } from "./render-error.ts";
import { reportFailure, reportWhenUp } from "./report.ts";

/** The daemon itself stops within 10 s; what hangs after that is ended, which is safe at any point. */
const LONGEST_STOP_MS = 10_000;
const LEFTOVERS_MS = 500;

export async function start(flags: Flags): Promise<void> {
  const config = loadConfig(sourcesOf(flags));
  const isDetached = flags.detachedChild === true;
  const newEpoch = flags.newEpoch === true ? { force: flags.force === true } : undefined;
  if (newEpoch === undefined && flags.force === true) {
    throw new AfterimageError("USAGE", "--force goes with --new-epoch alone.", "Leave it out, or add --new-epoch.");
  }
  if (flags.detach === true && !isDetached) {
    await (await import("./detach.ts")).startDetached(config);
    return;
  }
  const logger = createLogger(config.log);
  try {
    await runDaemon(config, { logger, newEpoch }, isDetached);
  } catch (thrown) {
    if (!isReadable(config.log)) {
      // What collects the log does not see what is written for people.
      const { code, message, advice } = toAfterimageError(thrown);
      logger.error({ code, advice }, message);
    }
    if (isDetached) reportFailure(toAfterimageError(thrown));
    throw thrown;
  }
}

async function runDaemon(
  config: Config,
  { logger, newEpoch }: { logger: Logger; newEpoch: { force: boolean } | undefined },
  reports: boolean,
): Promise<void> {
  // Loaded late: a mistake in the configuration is told at once.
  const { createDaemon } = await import("../daemon/daemon.ts");
  const removePidFile = config.pidFile === null ? null : writePidFile(config.pidFile, adminAddress(config));
  try {
    const daemon = createDaemon(config, { logger, newEpoch });
    const release = stopOnSignals(daemon, logger);
    try {
      const run = daemon.run();
      if (reports) reportWhenUp(daemon, run);
      await run;
    } finally {
      release();
    }
  } finally {
    removePidFile?.();
    endSoon();
  }
}

/** Attempts that a stop cut off may hold the process a while longer; the daemon has closed what it had. */
function endSoon(): void {
  setTimeout(() => process.exit(), LEFTOVERS_MS).unref();
}

function adminAddress({ admin: { host, port } }: Config): string | null {
  if (port === 0) return null;
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return `http://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
}

/** The first signal drains; a second one, or ten seconds, ends the process. */
function stopOnSignals(daemon: Daemon, logger: Logger): () => void {
  let stopping = false;
  const over = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    if (stopping) {
      logger.warn(`${signal} again: ending at once; nothing is lost`);
      process.exit(1);
    }
    stopping = true;
    logger.info(`${signal}: draining to a batch boundary`);
    void forceAfter(logger, over.signal);
    daemon.stop().catch((error: unknown) => logger.error({ err: error }, "the stop failed"));
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return () => {
    over.abort();
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  };
}

async function forceAfter(logger: Logger, signal: AbortSignal): Promise<void> {
  try {
    await sleep(LONGEST_STOP_MS, undefined, { signal, ref: false });
  } catch {
    return; // stopped in time
  }
  logger.error("the stop took too long: ending at once; nothing is lost");
  process.exit(1);
}
