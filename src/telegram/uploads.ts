/** Calls that carry a file: grammY writes the multipart body, Bun's `fetch` sends it. */
import { HttpError, InputFile } from "grammy";
import type { AbortListeners } from "../abort-listeners.ts";
import type { Attempt } from "../attempts.ts";
import type { Clock } from "../clock.ts";
import type { BotId } from "../ids.ts";
import { judge } from "./answers.ts";
import type { Answer } from "./answers.ts";
import { callError } from "./call-error.ts";
import type { CallEvents } from "./call-error.ts";
import type { Deadlines } from "./deadlines.ts";
import type { HttpReply } from "./exchange.ts";
import { failureOf } from "./fetch-transport.ts";
import type { Fetch } from "./fetch-transport.ts";
import type { Redactor } from "./redactor.ts";

/** grammY's own way to make a call, as a transformer gets it; over `uploadFetch` it resolves with the whole HTTP reply. */
export type MultipartCall = (method: string, payload: object, signal: AbortSignal) => Promise<HttpReply>;

export interface UploadsOptions {
  readonly bot: BotId;
  readonly redact: Redactor;
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
  readonly attempt: Attempt | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * Makes uploads, each once: a file that comes from a stream can be read only once, so what a call would try again itself, an upload
 * leaves to the handler's next attempt. Ends like a call; a file that cannot be read is the handler's fault (HttpError).
 */
export function createUploads(options: UploadsOptions): (upload: Upload) => Promise<Answer> {
  const { bot, redact, deadlines, listeners, clock, limits, events } = options;

  return async (upload) => {
    const { method, attempt, signal } = upload;
    const startedMs = clock.monotonic();
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    let late = false;
    const release = [
      deadlines.add(limits.uploadMaxMs, () => {
        late = true;
        abort();
      }),
    ];
    for (const each of [attempt?.signal, signal]) if (each !== undefined) release.push(listeners.add(each, abort));
    try {
      const reply = await upload.send(method, upload.payload, controller.signal);
      const verdict = judge(method, late && reply.kind === "failed" ? tooLate : reply);
      events.onCall(method, verdict.kind === "answer" ? verdict.how : verdict.kind, clock.monotonic() - startedMs);
      if (verdict.kind === "answer") return redact.answer(verdict.answer);
      throw callError({ bot, redact, call: upload, verdict });
    } catch (error) {
      if (!(error instanceof HttpError) || error.error instanceof DOMException) throw error;
      events.onCall(method, "file_broken", clock.monotonic() - startedMs);
      throw unreadable(method, error.error, redact);
    } finally {
      for (const stop of release) stop();
    }
  };
}

const tooLate: HttpReply = { kind: "failed", why: "deadline", code: "" };

/** An InputFile may be fetched from a URL that holds the token, so nothing of the error but its cleaned words goes on. */
function unreadable(method: string, error: unknown, redact: Redactor): HttpError {
  const words = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new HttpError(`The file for '${method}' cannot be read: ${redact.text(words)}`, new Error(redact.text(words)));
}

/**
 * The `fetch` grammY is given: its answer's `json` is the whole HTTP reply, so that uploads are judged like any call. It never rejects,
 * and takes no `compress` (with it Bun would compress what it sends).
 */
export function uploadFetch(fetch: Fetch): (url: string, init: RequestInit) => Promise<{ json(): Promise<HttpReply> }> {
  return async (url, { method, headers, body, signal }) => {
    const init = { method, headers, body, signal, redirect: "manual", duplex: "half" } as RequestInit;
    const reply = await fetch(url, init)
      .then(async (response): Promise<HttpReply> => ({
        kind: "answered",
        status: response.status,
        text: await response.text(),
      }))
      .catch(failureOf);
    return { json: () => Promise.resolve(reply) };
  };
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
