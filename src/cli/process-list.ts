// Keeps passwords out of the list of processes, which every user of the machine can read.
import { redactUrl } from "../config/redact.ts";

/** To the end of the argument: a password may hold blanks. */
const POSTGRES_URL = /postgres(?:ql)?:\/\/.*$/is;

/** Shows this process there without the passwords of its command line; what has none stays as it is. */
export function hidePasswords(argv: readonly string[]): void {
  const shown = argv.map((argument) => argument.replace(POSTGRES_URL, redactUrl));
  if (shown.some((argument, at) => argument !== argv[at])) process.title = shown.join(" ");
}
