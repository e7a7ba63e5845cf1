// What can go wrong with the store of images, as an operator meets it. SQLite's result codes are told apart by number:
// https://www.sqlite.org/rescode.html
import { AfterimageError } from "../errors.ts";

const BUSY = 5;
const READ_ONLY = 8;
const CORRUPT = 11;
const FULL = 13;
const CANT_OPEN = 14;
const NOT_A_DATABASE = 26;
const PRIMARY_CODE = 0xff;

/** Runs a step of the store's; a failure of SQLite in it becomes IMAGES_LOCKED or IMAGES_FAILED. */
export function imagesStep<T>(file: string, step: () => T): T {
  try {
    return step();
  } catch (cause) {
    throw asImagesError(file, cause);
  }
}

function asImagesError(file: string, cause: unknown): unknown {
  if (cause instanceof Error && "syscall" in cause && "code" in cause) {
    return failed(file, String(cause.code), CANT_OPEN, cause);
  }
  if (!(cause instanceof Error && "errcode" in cause && typeof cause.errcode === "number")) {
    return cause;
  }
  const code = cause.errcode & PRIMARY_CODE;
  if (code === BUSY) {
    return new AfterimageError(
      "IMAGES_LOCKED",
      `Another process has the images' file ${file} open.`,
      "Another daemon runs, or was suspended, with the same imagesFile: end it, or give this one a file of its own.",
      { cause },
    );
  }
  const text = "errstr" in cause ? String(cause.errstr) : "";
  return failed(file, `SQLite's result code ${cause.errcode}, ${text}`, code, cause);
}

function failed(file: string, why: string, code: number, cause: Error): AfterimageError {
  return new AfterimageError("IMAGES_FAILED", `The images' file ${file} can't be used: ${why}.`, remedyOf(code), {
    cause,
  });
}

function remedyOf(code: number): string {
  switch (code) {
    case FULL:
      return "Free room on that disk and start again; nothing is lost: the file goes on from the topics.";
    case CANT_OPEN:
    case READ_ONLY:
      return "imagesFile names a file in a folder that exists and that the daemon may write to. Mend the path or the rights, then start again.";
    case CORRUPT:
    case NOT_A_DATABASE:
      return "Delete the file and start again: it is rebuilt from the topics. If it is not afterimage's, let imagesFile name another one.";
    default:
      return "Look at the disk. Once it is sound, start again; should the file be damaged, delete it: it is rebuilt from the topics.";
  }
}

/** The file is a database of somebody else's, or another stream's: neither is overwritten. */
export function fileForeign(file: string, what: string): AfterimageError {
  return new AfterimageError(
    "IMAGES_FILE_FOREIGN",
    `The images' file ${file} ${what}; it was left as it is.`,
    "Let imagesFile name a file of this stream's own, or one that is not there yet.",
  );
}
