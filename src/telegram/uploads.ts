/** Calls that carry a file: grammY writes the multipart body, Bun's `fetch` sends it. */
import type { Readable } from "node:stream";
import { HttpError, InputFile } from "grammy";
import type { AbortListeners } from "../abort-listeners.ts";
import type { Attempt } from "../attempts.ts";
import type { Clock } from "../clock.ts";
import type { BotId } from "../ids.ts";
import { judge } from "./answers.ts";
import type { Answer } from "./answers.ts";
import { callError } from "./call-error.ts";
import type { CallEvents, CallOutcome } from "./call-error.ts";
import type { Deadlines } from "./deadlines.ts";
import type { HttpReply } from "./exchange.ts";
import type { FloodCall } from "./flood-call.ts";
import { passFlood } from "./flood-pass.ts";
import type { FloodControl } from "./flood-port.ts";
import { failureOf } from "./fetch-transport.ts";
import type { Fetch } from "./fetch-transport.ts";
import type { Redactor } from "./redactor.ts";

/** grammY's own way to make a call, as a transformer gets it; over `uploadFetch` it resolves with the whole HTTP reply. */
export type MultipartCall = (method: string, payload: object, signal: AbortSignal) => Promise<HttpReply>;

export interface UploadsOptions {
  readonly bot: BotId;
  readonly redact: Redactor;
  readonly flood: FloodControl;
  readonly deadlines: Deadlines;
  readonly listeners: AbortListeners;
  readonly clock: Clock;
  readonly limits: { readonly uploadMaxMs: number };
  readonly events: CallEvents;
}

export interface Upload {
  readonly send: MultipartCall;
  readonly method: string;
  readonly payload: object;
  readonly flood: FloodCall;
  readonly attempt: Attempt | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * Makes uploads, each once: a file that comes from a stream can be read only once, so what a call would try again itself, an upload
 * leaves to the handler's next attempt. Ends like a call; a file that cannot be read is the handler's fault (HttpError).
 */
export function createUploads(options: UploadsOptions): (upload: Upload) => Promise<Answer> {
  const { bot, redact, flood, deadlines, listeners, clock, limits, events } = options;

  return async (upload) => {
    const { method, attempt, signal } = upload;
    const startedMs = clock.monotonic();
    const told = (outcome: CallOutcome): void => events.onCall(method, outcome, clock.monotonic() - startedMs);
    const held = await passFlood(flood, upload);
    if (held !== undefined) {
      flood.ended(upload.flood, false);
      told(held.why === "ended" ? "aborted" : "flood");
      throw callError({ bot, redact, call: upload, verdict: held });
    }
    let accepted = false;
    const controller = new AbortController();
    let why: "aborted" | "deadline" = "aborted";
    const abort = (): void => controller.abort();
    const late = (): void => {
      why = "deadline";
      abort();
    };
    const release = [deadlines.add(limits.uploadMaxMs, late)];
    for (const each of [attempt?.signal, signal]) if (each !== undefined) release.push(listeners.add(each, abort));
    try {
      const reply = await upload.send(method, upload.payload, controller.signal).catch((error: unknown) => {
        told("file_broken");
        throw unreadable(method, error, redact);
      });
      const cutShort = controller.signal.aborted && reply.kind === "failed";
      const verdict = judge(method, cutShort ? { kind: "failed", why, code: "" } : reply, attempt?.mayRepeat);
      accepted = verdict.kind === "answer";
      if (verdict.kind === "flood") flood.refused(upload.flood, verdict.waitMs);
      told(verdict.kind === "answer" ? verdict.how : verdict.kind);
      if (verdict.kind === "answer") return redact.answer(verdict.answer);
      throw callError({ bot, redact, call: upload, verdict });
    } finally {
      flood.ended(upload.flood, accepted);
      for (const stop of release) stop();
    }
  };
}

/** An InputFile may be fetched from a URL that holds the token, so nothing of the error but its cleaned words goes on. */
function unreadable(method: string, error: unknown, redact: Redactor): HttpError {
  const cause = error instanceof HttpError ? error.error : error;
  const words = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
  return new HttpError(`The file for '${method}' cannot be read: ${redact.text(words)}`, new Error(redact.text(words)));
}

/**
 * The `fetch` grammY is given: its answer's `json` is the whole HTTP reply, so that uploads are judged like any call. It never rejects,
 * and takes no `compress` (with it Bun would compress what it sends). grammY's body is a Node stream.
 */
export function uploadFetch(
  fetch: Fetch,
): (url: string, init: RequestInit) => Promise<{ readonly json: () => Promise<HttpReply> }> {
  return async (url, { method, headers, body, signal }) => {
    const stream = body as unknown as Readable;
    // Where the answer comes before the whole body is sent (too large, say) or the connection breaks, `fetch` gives its body up. A stream
    // destroyed by that tells grammY of a file that cannot be read, and the answer is lost: so it outlives the exchange.
    const init = { method, headers, body: stream.iterator({ destroyOnReturn: false }), signal, redirect: "manual" };
    const reply = await fetch(url, init as unknown as RequestInit).then(replyOf, failureOf);
    return {
      json: () => {
        // Not before grammY has taken the answer.
        setImmediate(() => stream.destroy());
        return Promise.resolve(reply);
      },
    };
  };
}

function replyOf(response: Response): Promise<HttpReply> {
  return response.text().then((text) => ({ kind: "answered", status: response.status, text }), failureOf);
}

/** Whether a file is anywhere in the payload: then it must go as multipart. */
export function holdsFile(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (value instanceof InputFile) return true;
  for (const key in value) if (holdsFile((value as Record<string, unknown>)[key])) return true;
  return false;
}

/** Text that stays the same when a handler makes the same upload again: file names stand for the files. */
export function identityOf(payload: unknown): string {
  return JSON.stringify(named(payload));
}

function named(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof InputFile) return { file: value.filename ?? "" };
  if (Array.isArray(value)) return value.map(named);
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, named(each)]));
}
