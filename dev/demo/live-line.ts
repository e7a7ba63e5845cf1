// The live line of the demo: rows written, events published, documents indexed, lag.
import type { DaemonStatus } from "../../src/daemon/status.ts";
import type { SampleStatus, Stack } from "./stack.ts";
import type { Workload } from "./workload.ts";

const count = new Intl.NumberFormat("en-US");

function bytes(value: number): string {
  if (value < 1024) return `${value} B`;
  return value < 1024 ** 2 ? `${(value / 1024).toFixed(0)} kB` : `${(value / 1024 ** 2).toFixed(1)} MB`;
}

/**
 * @param written rows that the workload has written
 * @param width characters that there is room for; with too few, the words are shortened
 */
export function renderLine(
  written: number,
  daemon: DaemonStatus | undefined,
  sample: SampleStatus | undefined,
  width: number,
): string {
  const published = daemon?.position == null ? "–" : count.format(daemon.position.sequence);
  const rate = daemon === undefined ? "" : ` (${count.format(Math.round(daemon.eventsPerSecond))}/s)`;
  const indexed = sample === undefined ? "–" : count.format(sample.documents);
  const seconds = daemon?.lag.seconds;
  const behind = daemon?.lag.bytes == null ? "" : `, ${bytes(daemon.lag.bytes)}`;
  const lag = seconds == null ? "unknown" : `${seconds.toFixed(1)} s${behind}`;
  const [rows, events, documents] = [count.format(written), published + rate, indexed];
  const line = `rows written ${rows} · events published ${events} · documents indexed ${documents} · lag ${lag}`;
  return line.length <= width ? line : `written ${rows} · published ${events} · indexed ${documents} · lag ${lag}`;
}

/** Shows the line until `stop`: in place on a terminal, else one every five seconds. */
export function showLine(stack: Stack, shop: Workload, output: NodeJS.WriteStream): { stop(): void } {
  const inPlace = output.isTTY === true;
  let stopped = false;
  const show = async () => {
    const [daemon, sample] = await Promise.all([stack.status(), stack.sampleStatus()]);
    if (stopped) return;
    const width = inPlace ? (output.columns ?? 120) - 1 : Number.POSITIVE_INFINITY;
    const line = renderLine(shop.rowsWritten(), daemon, sample, width);
    output.write(inPlace ? `\r\u001b[2K${line.slice(0, width)}` : `${line}\n`);
  };
  const timer = setInterval(() => void show(), inPlace ? 500 : 5000);
  void show();
  return {
    stop() {
      stopped = true;
      clearInterval(timer);
      if (inPlace) output.write("\n");
    },
  };
}
