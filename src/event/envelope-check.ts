// Whether parsed JSON is an event of wire version 1: what a reader relies on is checked before it is used.
import type { Operation } from "./change-event.ts";

type Fields = Partial<Record<string, unknown>>;

const LSN = /^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/;

/** What is wrong, without any value of a row; null when nothing is. */
export function problemOf(event: Fields): string | null {
  if (!isCount(event.sequence, 1)) {
    return "its sequence is not a positive integer";
  }
  if (typeof event.timestamp !== "string") {
    return "it has no timestamp";
  }
  return transactionProblem(event.transaction) ?? operationProblem(event);
}

function transactionProblem(transaction: unknown): string | null {
  if (!isObject(transaction)) {
    return "it has no transaction";
  }
  const { id, epoch, lsn, index, last } = transaction;
  const sound =
    (id === null || typeof id === "string") &&
    isCount(epoch, 1) &&
    typeof lsn === "string" &&
    LSN.test(lsn) &&
    isCount(index, 0) &&
    (last === undefined || last === true);
  return sound ? null : "its transaction is incomplete";
}

function operationProblem(event: Fields): string | null {
  const operation = event.operation as Operation;
  switch (operation) {
    case "insert":
    case "read":
      return rowProblem(event, event.before === null && isObject(event.after));
    case "update":
      return rowProblem(event, (event.before === null || isObject(event.before)) && isObject(event.after));
    case "delete":
      return rowProblem(event, isObject(event.before) && event.after === null);
    case "message":
      return event.table === null && event.schema === null && isMessage(event.after)
        ? null
        : "its message is incomplete";
    case "truncate":
      return barrierProblem(event, isCount(event.schema, 1));
    case "gap":
      return barrierProblem(event, typeof event.reason === "string");
    case "sweep":
      return barrierProblem(event, isCount(event.since, 0));
    default:
      operation satisfies never;
      return "its operation is unknown";
  }
}

function rowProblem(event: Fields, imagesFit: boolean): string | null {
  if (typeof event.table !== "string" || !isCount(event.schema, 1)) {
    return "it names no table or no schema";
  }
  if (!imagesFit) {
    return "its before and after do not fit its operation";
  }
  const { key, previousKey, nextKey, unchanged } = event;
  const keysFit = (key === null || isObject(key)) && isObjectIfAny(previousKey) && isObjectIfAny(nextKey);
  const unchangedFits =
    unchanged === undefined || (Array.isArray(unchanged) && unchanged.every((name) => typeof name === "string"));
  return keysFit && unchangedFits ? null : "its key or its list of unchanged columns is malformed";
}

function barrierProblem(event: Fields, ownFieldsFit: boolean): string | null {
  return typeof event.table === "string" && isCount(event.copies, 1) && ownFieldsFit
    ? null
    : "its barrier is incomplete";
}

function isCount(value: unknown, least: number): boolean {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= least;
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isMessage(after: unknown): boolean {
  return (
    isObject(after) &&
    typeof after.prefix === "string" &&
    typeof after.content === "string" &&
    (after.encoding === "utf8" || after.encoding === "base64")
  );
}

function isObjectIfAny(value: unknown): boolean {
  return value === undefined || isObject(value);
}
