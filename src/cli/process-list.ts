// Keeps passwords out of the list of processes, which every user of the machine can read.
import { redactUrl } from "../config/redact.ts";

const POSTGRES_URL = /postgres(?:ql)?:\/\/\S+/gi;

/** Shows this process there without the passwords of its command line; what has none stays as it is. */
export function hidePasswords(argv: readonly string[]): void {
  const given = argv.join(" ");
  const shown = given.replaceAll(POSTGRES_URL, redactUrl);
  if (shown !== given) process.title = shown;
}
