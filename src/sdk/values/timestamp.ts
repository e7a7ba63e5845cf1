// timestamptz as a Date that keeps its microseconds. Date and time without a zone are no points in time: they stay text.
// https://www.postgresql.org/docs/current/datatype-datetime.html
import { type Decoder, unreadable, unrepresentable } from "./decoder.ts";

/** A point in time. A Date has milliseconds; Postgres has microseconds, which stand beside them. */
export class Timestamp extends Date {
  /** Microseconds beyond the Date's milliseconds: 0 to 999. */
  readonly microseconds: number;

  constructor(milliseconds: number, microseconds: number) {
    super(milliseconds);
    this.microseconds = microseconds;
  }

  /** With six digits after the point, so that JSON loses none either. */
  override toISOString(): string {
    return super.toISOString().replace("Z", `${String(this.microseconds).padStart(3, "0")}Z`);
  }
}

const TEXT = /^(\d{4,})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?\+00( BC)?$/;

export const timestamptz: Decoder<Timestamp> = {
  decode(text) {
    const match = TEXT.exec(text);
    if (match === null) {
      throw text === "infinity" || text === "-infinity"
        ? unrepresentable("An infinite timestamp")
        : unreadable("timestamptz in UTC");
    }
    const [, year, month, day, hours, minutes, seconds, fraction = "", era] = match;
    const digits = fraction.padEnd(6, "0");
    const date = new Date(0);
    // 1 BC is the year 0 of ISO 8601; Date.UTC would take years below 100 for those of the 20th century.
    date.setUTCFullYear(era === undefined ? Number(year) : 1 - Number(year), Number(month) - 1, Number(day));
    date.setUTCHours(Number(hours), Number(minutes), Number(seconds), Number(digits.slice(0, 3)));
    if (Number.isNaN(date.getTime())) {
      throw unrepresentable("A timestamp beyond the year 275760, where Date ends,");
    }
    return new Timestamp(date.getTime(), Number(digits.slice(3)));
  },
};
