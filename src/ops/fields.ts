/** Turns whatever was handed to the log into plain, bounded, redacted data. Nothing of the original object is kept or called. */
import { Fault } from "../faults.ts";
import type { Redact } from "./redact.ts";

export type Plain = string | number | boolean | null | readonly Plain[] | { readonly [key: string]: Plain };
export type PlainFields = { readonly [key: string]: Plain };

const textMaxChars = 4_096;
const itemsMax = 50;
const depthMax = 6;

/** Under these names stands a secret, whatever it looks like. */
const secretName = /^(?:.*token|.*password|.*secret|authorization|cookie|init_?data)$/i;
/** Under these names stands a secret where it is long; `hash` names harmless numbers too. */
const signatureName = /^(?:hash|signature)$/i;
const signatureMinChars = 40;

/** `text` redacted, then cut: a cut before could leave a part of a secret that no pattern knows any more. */
export function toText(text: string, redact: Redact): string {
  const safe = redact(text);
  return safe.length <= textMaxChars ? safe : `${safe.slice(0, textMaxChars)}… (${safe.length} characters)`;
}

/** Never throws: a value that cannot be read is said to be so. */
export function toFields(fields: Readonly<Record<string, unknown>>, redact: Redact): PlainFields {
  try {
    return entriesOf(fields, redact, 0);
  } catch {
    return { fields: "<unreadable>" };
  }
}

function entriesOf(of: object, redact: Redact, depth: number): PlainFields {
  const plain: Record<string, Plain> = {};
  let kept = 0;
  for (const [key, value] of Object.entries(of)) {
    if (value === undefined || typeof value === "function" || typeof value === "symbol") continue;
    if (kept++ >= itemsMax) break;
    plain[toText(key, redact)] = isSecret(key, value) ? "<redacted>" : toPlain(value, redact, depth + 1);
  }
  return plain;
}

function isSecret(key: string, value: unknown): boolean {
  if (typeof value !== "string") return false;
  return secretName.test(key) || (signatureName.test(key) && value.length >= signatureMinChars);
}

function toPlain(value: unknown, redact: Redact, depth: number): Plain {
  if (typeof value === "string") return toText(value, redact);
  if (typeof value === "boolean" || value === null) return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object") return `<${typeof value}>`;
  if (depth > depthMax) return "<deeper>";
  if (value instanceof Error) return errorOf(value, redact, depth);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "<invalid date>" : value.toISOString();
  if (value instanceof URL) return toText(value.href, redact);
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return `<${value.byteLength} bytes>`;
  if (value instanceof Map || value instanceof Set) return `<${value.size} items>`;
  if (Array.isArray(value)) return value.slice(0, itemsMax).map((item) => toPlain(item, redact, depth + 1));
  return entriesOf(value, redact, depth);
}

/**
 * Only what every error has: other fields are where libraries keep addresses with tokens (`path` of Bun's fetch errors) and what
 * people wrote (`payload` of grammY's). A Fault says everything in its message, so it carries no stack.
 */
function errorOf(error: Error, redact: Redact, depth: number): PlainFields {
  const plain: Record<string, Plain> = { name: toText(String(error.name), redact) };
  const code = "code" in error ? error.code : "error_code" in error ? error.error_code : undefined;
  if (typeof code === "string" || typeof code === "number") plain["code"] = toPlain(code, redact, depth);
  plain["message"] = toText(String(error.message), redact);
  if (!(error instanceof Fault) && typeof error.stack === "string") plain["stack"] = toText(error.stack, redact);
  const cause = error.cause ?? ("error" in error ? error.error : undefined);
  if (cause !== undefined) plain["cause"] = toPlain(cause, redact, depth + 1);
  if (error instanceof AggregateError) plain["errors"] = toPlain(error.errors, redact, depth + 1);
  return plain;
}
