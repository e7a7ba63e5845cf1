// The one way in which the command line shows what went wrong, and the exit code that goes with it. Never a stack.
import { styleText } from "node:util";
import { AfterimageError, printable, printableMessage } from "../errors.ts";

/** Documented in docs/cli.md. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  unreachable: 3,
  halted: 4,
  notRunning: 5,
} as const;

const EXIT_BY_CODE: Readonly<Record<string, number>> = {
  POSTGRES_UNREACHABLE: EXIT.unreachable,
  KAFKA_UNREACHABLE: EXIT.unreachable,
  KAFKA_NOT_READY: EXIT.unreachable,
  NOT_RUNNING: EXIT.notRunning,
  STOP_TIMEOUT: EXIT.failure,
  INTERNAL: EXIT.failure,
  ALREADY_RUNNING: EXIT.failure,
  ADMIN_PORT_IN_USE: EXIT.failure,
  METRICS_PORT_IN_USE: EXIT.failure,
  DAEMON_ENDED: EXIT.failure,
  DROP_NOT_CONFIRMED: EXIT.usage,
  VERIFY_NO_TABLES: EXIT.usage,
  INIT_FILE: EXIT.failure,
  USAGE: EXIT.usage,
};

export function exitCodeOf(error: AfterimageError): number {
  if (error.code.startsWith("CONFIG_")) return EXIT.usage;
  return EXIT_BY_CODE[error.code] ?? EXIT.halted;
}

/** What was thrown, as an error a user can read; anything unexpected becomes INTERNAL with a short text. */
export function toAfterimageError(thrown: unknown): AfterimageError {
  if (thrown instanceof AfterimageError) return thrown;
  return new AfterimageError(
    "INTERNAL",
    `Something unexpected happened (${kindOf(thrown)}). Nothing that was published is lost.`,
    "Start again; it goes on where it stood. If it happens again, report it with the log at --log-level debug.",
    { cause: thrown },
  );
}

// Messages of libraries may hold values or addresses, so their code stands for them; the language's own do not.
function kindOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return typeof thrown;
  const { code } = thrown as { code?: unknown };
  return typeof code === "string" ? `${thrown.name} ${code}` : `${thrown.name}: ${thrown.message.slice(0, 200)}`;
}

/** `CODE: what happened`, then the advice. Coloured when the stream is a terminal. */
export function renderError(error: AfterimageError, stream: NodeJS.WriteStream = process.stderr): string {
  const code = styleText(["red", "bold"], `${error.code}:`, { stream });
  const arrow = styleText("cyan", "→", { stream });
  return `${code} ${printableMessage(error.message)}\n  ${arrow} ${printable(error.advice)}\n`;
}
