// Log sequence numbers. Always a bigint: as text `0/9000000` would sort after `0/10000000`, as a number the
// upper half loses bits. https://www.postgresql.org/docs/current/datatype-pg-lsn.html

/** A byte position in the write-ahead log; unsigned 64 bits. */
export type Lsn = bigint & { readonly __lsn: unique symbol };

export const ZERO_LSN = 0n as Lsn;

const TEXT = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/;

/** Takes an unsigned 64-bit integer as an LSN. Throws RangeError outside 0 … 2^64-1. */
export function toLsn(value: bigint): Lsn {
  if (value < 0n || value > 0xffff_ffff_ffff_ffffn) {
    throw new RangeError(`An LSN has 64 bits, ${value} does not fit.`);
  }
  return value as Lsn;
}

/** Reads Postgres's text form, `16/B374D848`. Throws RangeError for anything else. */
export function parseLsn(text: string): Lsn {
  const match = TEXT.exec(text);
  if (match === null) {
    throw new RangeError(`Not an LSN: ${JSON.stringify(text)}. The form is 16/B374D848.`);
  }
  return ((BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`)) as Lsn;
}

/** Postgres's text form: two hexadecimal halves without leading zeros, upper case. */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffff_ffffn).toString(16).toUpperCase()}`;
}
