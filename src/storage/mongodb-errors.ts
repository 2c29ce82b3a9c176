/** What errors of MongoDB and its driver mean. Their messages name servers and indexes, never credentials. */
import {
  MongoError,
  MongoNetworkError,
  MongoServerError,
  MongoServerSelectionError,
  MongoWriteConcernError,
} from "mongodb";
import { Fault } from "../faults.ts";

/**
 * `not_done` nothing was sent · `unknown` it may have been done, wholly or in part · `credentials` refused, or without the rights
 * for it · `refused` the server has said no to this very command, and can be asked other things.
 */
export type Trouble = "not_done" | "unknown" | "credentials" | "refused";

export interface WriteError {
  /** Of the write within its command. */
  readonly index: number;
  readonly code: number;
  /** The fields of the unique index that refuses it. */
  readonly keyPattern?: Readonly<Record<string, unknown>>;
}

/** Codes of the server: mongodb.com/docs/manual/reference/error-codes */
export const codes = {
  unauthorized: 13,
  authenticationFailed: 18,
  namespaceNotFound: 26,
  maxTimeExpired: 50,
  namespaceExists: 48,
  indexOptionsConflict: 85,
  indexKeySpecsConflict: 86,
  writeConflict: 112,
  atlasError: 8_000,
  duplicateKey: 11_000,
  databaseDifferCase: 13_297,
} as const;

const credentialCodes: ReadonlySet<number> = new Set([
  codes.unauthorized,
  codes.authenticationFailed,
  codes.atlasError,
]);
const refusedCodes: ReadonlySet<number> = new Set([
  codes.maxTimeExpired,
  codes.duplicateKey,
  codes.indexOptionsConflict,
  codes.indexKeySpecsConflict,
  codes.databaseDifferCase,
]);

/** Undefined for what is not of MongoDB. */
export function troubleOf(error: unknown): Trouble | undefined {
  if (!(error instanceof MongoError)) return undefined;
  const code = codeOf(error);
  if (code !== undefined && credentialCodes.has(code)) return "credentials";
  if (error instanceof MongoServerSelectionError)
    return troubleOf(error.cause) === "credentials" ? "credentials" : "not_done";
  // The driver exports neither; a third one, of connections in use, may have done it.
  if (error.name === "MongoPoolClearedError" || error.name === "MongoWaitQueueTimeoutError") return "not_done";
  if (error instanceof MongoNetworkError)
    return "beforeHandshake" in error && error.beforeHandshake === true ? "not_done" : "unknown";
  if (error instanceof MongoWriteConcernError) return "unknown";
  if (error instanceof MongoServerError && code !== undefined && refusedCodes.has(code)) return "refused";
  return "unknown";
}

/** Of what the server has answered; undefined where it has not. */
export function codeOf(error: unknown): number | undefined {
  return error instanceof MongoError && typeof error.code === "number" ? error.code : undefined;
}

/** Whether a transaction that ended with it may be begun again from its start. */
export function isTransient(error: unknown): boolean {
  return error instanceof MongoError && error.hasErrorLabel("TransientTransactionError");
}

/** Whether another transaction holds a document that was to be changed: the server is well, and nothing was done. */
export function isConflict(error: unknown): boolean {
  return codeOf(error) === codes.writeConflict;
}

/** Whether a commit that ended with it may have taken effect, and can be asked for again. */
export function isUnknownCommit(error: unknown): boolean {
  return error instanceof MongoError && error.hasErrorLabel("UnknownTransactionCommitResult");
}

export function unavailable(what: string, error: unknown): Fault {
  const effect = troubleOf(error) === "unknown" ? "unknown" : "not_done";
  return new Fault("unavailable", `${what}: ${messageOf(error)}`, { cause: error, effect });
}

/** Without line ends: the driver puts some in. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll(/\s+/g, " ").slice(0, 500);
}
