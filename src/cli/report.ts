// What a detached daemon tells the command that started it, over Node's channel between parent and child.
import type { DaemonStatus } from "../daemon/status.ts";
import type { AfterimageError } from "../errors.ts";

export type Report =
  | { readonly kind: "up"; readonly status: DaemonStatus }
  | { readonly kind: "failed"; readonly code: string; readonly message: string; readonly advice: string };

const LOOK_EVERY_MS = 50;

/** Reports once the daemon streams or stands by, then lets go of the parent. */
export function reportWhenUp(daemon: { status(): DaemonStatus }, run: Promise<void>): void {
  const timer = setInterval(() => {
    const status = daemon.status();
    if (!["streaming", "snapshotting", "standby"].includes(status.state)) return;
    clearInterval(timer);
    send({ kind: "up", status });
    if (process.connected) process.disconnect();
  }, LOOK_EVERY_MS);
  const over = () => clearInterval(timer);
  run.then(over, over);
}

export function reportFailure({ code, message, advice }: AfterimageError): void {
  send({ kind: "failed", code, message, advice });
}

function send(report: Report): void {
  // The parent may have been ended meanwhile; the daemon goes on without it.
  if (process.connected) process.send?.(report, undefined, {}, () => undefined);
}
