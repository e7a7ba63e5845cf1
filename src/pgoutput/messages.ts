// The messages of pgoutput, protocol version 1.
// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
import type { AfterimageError } from "../errors.ts";
import type { ColumnValue } from "../event/column-value.ts";
import type { Lsn } from "../event/lsn.ts";
import type { ReplicaIdentity } from "../event/schema.ts";

export interface Begin {
  readonly kind: "begin";
  /** LSN of the commit record; the same as the Commit message's `commitLsn`. */
  readonly commitLsn: Lsn;
  /** Microseconds since 2000-01-01 UTC. */
  readonly commitTime: bigint;
  readonly xid: number;
}

export interface Commit {
  readonly kind: "commit";
  readonly commitLsn: Lsn;
  /** End of the commit record: what is confirmed once the transaction is safe. */
  readonly endLsn: Lsn;
  readonly commitTime: bigint;
}

export interface Origin {
  readonly kind: "origin";
  readonly commitLsn: Lsn;
  readonly name: string;
}

export interface RelationColumn {
  readonly name: string;
  readonly typeOid: number;
  readonly typmod: number;
  /** Part of the replica identity. Under FULL pgoutput marks every column. */
  readonly identity: boolean;
}

export interface Relation {
  readonly kind: "relation";
  readonly oid: number;
  readonly schema: string;
  readonly table: string;
  readonly identity: ReplicaIdentity;
  readonly columns: readonly RelationColumn[];
}

export interface Type {
  readonly kind: "type";
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
}

export type Tuple = readonly ColumnValue[];

/** `key`: the identity columns alone, the others null; `whole`: the old row under REPLICA IDENTITY FULL. */
export interface OldTuple {
  readonly form: "key" | "whole";
  readonly values: Tuple;
}

interface RowMessage {
  /** TEXT_UNDECODABLE when a value's bytes are not UTF-8; such values are as `isUndecodable` knows them. */
  readonly undecodable?: AfterimageError;
}

export interface Insert extends RowMessage {
  readonly kind: "insert";
  readonly relation: number;
  readonly new: Tuple;
}

export interface Update extends RowMessage {
  readonly kind: "update";
  readonly relation: number;
  /** Null when the identity columns did not change and the identity is not FULL. */
  readonly old: OldTuple | null;
  readonly new: Tuple;
}

export interface Delete extends RowMessage {
  readonly kind: "delete";
  readonly relation: number;
  readonly old: OldTuple;
}

export interface Truncate {
  readonly kind: "truncate";
  readonly relations: readonly number[];
  readonly cascade: boolean;
  readonly restartIdentity: boolean;
}

/** From `pg_logical_emit_message`. Its LSN is the record's end, so it is never used as a position. */
export interface Message {
  readonly kind: "message";
  readonly transactional: boolean;
  readonly prefix: string;
  readonly content: Buffer;
}

export type PgoutputMessage = Begin | Commit | Origin | Relation | Type | Insert | Update | Delete | Truncate | Message;
