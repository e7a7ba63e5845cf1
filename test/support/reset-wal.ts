// Moves a stopped Postgres cluster to other positions, as pg_resetwal does, which the embedded packages lack: its WAL
// begins again at a given LSN, and the next transaction and object get given ids. Versions 15 to 18.
// https://www.postgresql.org/docs/current/app-pgresetwal.html
import { chown, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { endianness } from "node:os";
import { join } from "node:path";
import { crc32c } from "../../src/kafka/crc32c.ts";

export interface NewPositions {
  /** Where the WAL begins; the beginning of a segment. */
  readonly lsn: bigint;
  /** With its epoch: 64 bits. */
  readonly nextXid: bigint;
  readonly nextOid: number;
}

// Offsets in ControlFileData, src/include/catalog/pg_control.h.
const CONTROL = { state: 16, checkPoint: 32, copy: 40 } as const;
const SHUT_DOWN = 1;
/** In CheckPoint, of which the control file holds a copy and a checkpoint record consists. */
const CHECKPOINT = { redo: 0, timeline: 8, nextXid: 24, nextOid: 32, oldestXid: 44, size: 88 } as const;
/** Of XLogRecord, src/include/access/xlogrecord.h: all but the checksum, then the checksum. */
const RECORD = { length: 0, summed: 20, size: 24 } as const;
const DATA_SHORT = 255;
/** Of XLogLongPageHeaderData, with which a segment begins. */
const PAGE = { info: 2, timeline: 4, pageAddress: 8, rest: 16, size: 40 } as const;
const LONG_HEADER = 2;

const XIDS_PER_STATUS_SEGMENT = 32n * 8192n * 4n;
/** The server warns, and at last refuses, when the oldest xid is about 2^31 away. */
const OLDEST_BEHIND = 2_000_000_000n;

/**
 * `data`: of a cluster that was shut down in order and whose rows are all frozen (VACUUM FREEZE in every database that
 * is used): what is known of older transactions is lost.
 */
export async function resetWal(data: string, { lsn, nextXid, nextOid }: NewPositions): Promise<void> {
  if (endianness() !== "LE") throw new Error("pg_control is read as little-endian here.");
  const file = join(data, "global", "pg_control");
  const control = await readFile(file);
  const sum = sumOf(control);
  if (control.readInt32LE(CONTROL.state) !== SHUT_DOWN) throw new Error("The cluster was not shut down in order.");

  const checkPoint = control.subarray(CONTROL.copy, CONTROL.copy + CHECKPOINT.size);
  const at = lsn + BigInt(PAGE.size);
  const oldest = (nextXid - OLDEST_BEHIND) & 0xffff_ffffn;
  control.writeBigUInt64LE(at, CONTROL.checkPoint);
  checkPoint.writeBigUInt64LE(at, CHECKPOINT.redo);
  checkPoint.writeBigUInt64LE(nextXid, CHECKPOINT.nextXid);
  checkPoint.writeUInt32LE(nextOid, CHECKPOINT.nextOid);
  checkPoint.writeUInt32LE(Number(oldest < 3n ? oldest + 3n : oldest), CHECKPOINT.oldestXid);
  control.writeUInt32LE(crc32c(control, 0, sum), sum);

  const made = [
    await replaceWal(join(data, "pg_wal"), lsn, checkPoint),
    await zeroStatus(join(data, "pg_xact"), nextXid),
  ];
  await writeFile(file, control);
  const { uid, gid } = await stat(file);
  for (const path of made) await chown(path, uid, gid);
}

/** Where the control file's own checksum stands: its offset differs from version to version. */
function sumOf(control: Buffer): number {
  for (let at = CONTROL.copy + CHECKPOINT.size; at < 512; at += 4) {
    if (crc32c(control, 0, at) === control.readUInt32LE(at)) return at;
  }
  throw new Error("No checksum fits: this is no pg_control of a version that is known here.");
}

/** One segment with one record, the checkpoint of a shutdown, in place of all that is there. */
async function replaceWal(folder: string, lsn: bigint, checkPoint: Buffer): Promise<string> {
  const segments = (await readdir(folder)).filter((name) => /^[0-9A-F]{24}$/.test(name));
  const newest = join(folder, segments.toSorted().at(-1)!);
  const size = BigInt((await stat(newest)).size);
  if (lsn % size !== 0n) throw new RangeError(`No segment of ${size} bytes begins at ${lsn}.`);
  // Its page header serves again: magic number, system id and sizes are those of this server.
  const page = (await readFile(newest)).subarray(0, PAGE.size);
  const timeline = checkPoint.readUInt32LE(CHECKPOINT.timeline);
  page.writeUInt16LE(LONG_HEADER, PAGE.info);
  page.writeUInt32LE(timeline, PAGE.timeline);
  page.writeBigUInt64LE(lsn, PAGE.pageAddress);
  page.writeUInt32LE(0, PAGE.rest); // it does not begin with the end of a record

  const body = Buffer.concat([Buffer.from([DATA_SHORT, checkPoint.length]), checkPoint]);
  const header = Buffer.alloc(RECORD.size); // resource manager XLOG and CHECKPOINT_SHUTDOWN are both 0
  header.writeUInt32LE(header.length + body.length, RECORD.length);
  header.writeUInt32LE(crc32c(Buffer.concat([body, header.subarray(0, RECORD.summed)])), RECORD.summed);

  await Promise.all(segments.map((name) => rm(join(folder, name))));
  await rm(join(folder, "summaries"), { recursive: true, force: true });
  const hex = (value: bigint) => value.toString(16).toUpperCase().padStart(8, "0");
  const name = hex(BigInt(timeline)) + hex(lsn >> 32n) + hex((lsn & 0xffff_ffffn) / size);
  const path = join(folder, name);
  const segment = await open(path, "w");
  await segment.write(Buffer.concat([page, header, body]));
  await segment.truncate(Number(size));
  await segment.close();
  return path;
}

/** The statuses of transactions around `nextXid`: none of them has one yet. */
async function zeroStatus(folder: string, nextXid: bigint): Promise<string> {
  const number = (nextXid & 0xffff_ffffn) / XIDS_PER_STATUS_SEGMENT;
  const name = number.toString(16).toUpperCase().padStart(4, "0");
  const path = join(folder, name);
  await writeFile(path, Buffer.alloc(Number(XIDS_PER_STATUS_SEGMENT / 4n)), { flag: "wx" });
  return path;
}
