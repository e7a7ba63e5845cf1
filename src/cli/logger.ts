// The log: one JSON object a line for machines, readable lines for a terminal.
import { styleText } from "node:util";
import pino from "pino";
import type { Config } from "../config/config.ts";
import { AfterimageError, messageOf, printable, printableMessage } from "../errors.ts";

export type Logger = pino.Logger;

export function createLogger(
  { level, format, file }: Config["log"],
  stdout: NodeJS.WriteStream = process.stdout,
): Logger {
  const options: pino.LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: describe, error: describe },
  };
  if (isReadable({ format, file }, stdout)) {
    return pino(options, { write: (line: string) => stdout.write(formatLine(line, stdout)) });
  }
  // Written at once: the last lines before an exit are the ones that matter.
  return pino(options, file === null ? pino.destination({ dest: 1, sync: true }) : openFile(file));
}

/** Whether the log is lines for a person at a terminal, who also sees the error that ends the command. */
export function isReadable(
  { format, file }: Pick<Config["log"], "format" | "file">,
  stdout: NodeJS.WriteStream = process.stdout,
): boolean {
  return file === null && (format === "pretty" || (format === "auto" && stdout.isTTY === true));
}

function openFile(file: string) {
  try {
    return pino.destination({ dest: file, sync: true, append: true, mkdir: false });
  } catch (error) {
    throw new AfterimageError(
      "CONFIG_INVALID",
      `The log file ${file} can't be written (${(error as NodeJS.ErrnoException).code ?? messageOf(error)}).`,
      "Set --log-file or log.file to a file in a folder that exists and that this user may write.",
      { cause: error },
    );
  }
}

/** No stack, and nothing a library hung onto its error: those can hold addresses with passwords. */
function describe(error: unknown): unknown {
  if (error instanceof AfterimageError) return { code: error.code, message: error.message, advice: error.advice };
  const code = (error as { code?: unknown } | null)?.code;
  return { ...(code === undefined ? {} : { code }), message: messageOf(error) };
}

const COLOURS = {
  trace: "gray",
  debug: "gray",
  info: "green",
  warn: "yellow",
  error: "red",
  fatal: "red",
} as const;

/** `18:00:00.123 info  message key=value`. */
export function formatLine(line: string, stream: NodeJS.WriteStream = process.stdout): string {
  const { level, time, msg, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const colour = COLOURS[level as keyof typeof COLOURS] ?? "white";
  const clock = styleText("gray", String(time).slice(11, 23), { stream });
  const name = styleText(colour, String(level).padEnd(5), { stream });
  // Only errors come with advice, and only their messages may be lists.
  const text = (rest.advice === undefined ? printable : printableMessage)(String(msg));
  const details = Object.entries(rest).map(([key, value]) => {
    const shown = typeof value === "string" ? value : JSON.stringify(value);
    return styleText("gray", `${key}=${printable(shown)}`, { stream });
  });
  return `${[clock, name, ...(msg === undefined ? [] : [text]), ...details].join(" ")}\n`;
}
