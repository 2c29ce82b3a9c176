/** Every call out to Telegram goes through a client: deadline, retry rules, redaction of the token. One client per bot. */
import type { ApiClientOptions, Transformer } from "grammy";
import type { AbortListeners } from "../abort-listeners.ts";
import { type AttemptScope, mayGoOn } from "../attempts.ts";
import type { Clock, Random } from "../clock.ts";
import { Fault } from "../faults.ts";
import { botIdOf } from "../ids.ts";
import type { Token } from "../ids.ts";
import { parseAnswer } from "./answers.ts";
import type { Answer } from "./answers.ts";
import { createCalls } from "./calls.ts";
import type { CallLimits } from "./calls.ts";
import type { CallEvents } from "./call-error.ts";
import type { Deadlines } from "./deadlines.ts";
import type { Transport } from "./exchange.ts";
import { createFloodCall } from "./flood-call.ts";
import type { FloodControl } from "./flood-port.ts";
import { movedPayload } from "./migration.ts";
import { createRedactor } from "./redactor.ts";
import type { Fetch } from "./fetch-transport.ts";
import { createUploads, holdsFile, identityOf, uploadFetch } from "./uploads.ts";
import type { MultipartCall } from "./uploads.ts";

export type { Answer };

export interface CallOptions {
  /** Deadline, ms; default `callMaxMs`. */
  readonly maxMs?: number;
  readonly signal?: AbortSignal;
}

export interface Client {
  readonly token: Token;
  /**
   * One HTTP exchange, no retries of its own: for the poller, which has its own rules for every answer. Resolves with whatever the
   * Bot API answered as JSON. Rejects with `unavailable` (no answer, HTML, deadline, not JSON) or, when `signal` aborted, with `attempt_revoked`.
   */
  exchange(method: string, payload: object, options?: CallOptions): Promise<Answer>;
  /**
   * The innermost transformer of a grammY Api made with `apiOptions`: replaces grammY's own fetch, applies attempts and retry rules.
   * A call ends with Telegram's answer (a refusal becomes grammY's GrammyError) or rejects with a Fault: `unavailable`,
   * `token_refused` or `attempt_revoked`. To a group that became a supergroup it is made once more, under the chat's new number.
   */
  readonly transformer: Transformer;
  /** For `new Bot(token, { client: apiOptions })`: what the transformer leaves to grammY, multipart uploads, goes where it must. */
  readonly apiOptions: ApiClientOptions;
}

export interface ClientOptions {
  readonly token: Token;
  /** Such as `https://api.telegram.org`, without a slash at the end. */
  readonly apiRoot: string;
  readonly transport: Transport;
  /** Of this bot alone. What goes through `exchange` is not held back. */
  readonly flood: FloodControl;
  /** For uploads. */
  readonly fetch: Fetch;
  readonly deadlines: Deadlines;
  readonly listeners: AbortListeners;
  readonly clock: Clock;
  readonly random: Random;
  readonly scope: AttemptScope;
  readonly limits: CallLimits & { readonly uploadMaxMs: number };
  readonly events: CallEvents;
}

export function createClient(options: ClientOptions): Client {
  const { token, apiRoot, transport, scope, limits } = options;
  const redact = createRedactor(token);
  const bot = botIdOf(token);
  const makeCall = createCalls({ ...options, bot, redact });
  const makeUpload = createUploads({ ...options, bot, redact });
  const urlOf = (method: string): string => `${apiRoot}/bot${token}/${method}`;

  function transform(send: MultipartCall, method: string, payload: object, signal?: AbortSignal): Promise<Answer> {
    const attempt = scope.current();
    const isUpload = holdsFile(payload);
    const text = isUpload ? identityOf(payload) : serialize(payload);
    const make = (to: object, body: string): Promise<Answer> => {
      const flood = createFloodCall(method, to, "reply");
      if (isUpload) return makeUpload({ send, method, payload: to, flood, attempt, signal });
      return makeCall({ method, url: urlOf(method), body, flood, attempt, signal });
    };
    const run = async (): Promise<Answer> => {
      const answer = await make(payload, text);
      const moved = answer.ok || attempt?.revoked === true ? undefined : movedPayload(payload, answer);
      if (moved === undefined) return answer;
      if (!mayGoOn(attempt))
        throw new Fault("unavailable", `Bot ${bot}: ${method} is not made again: its claim may be lost.`);
      return make(moved, isUpload ? text : serialize(moved));
    };
    if (attempt === undefined) return run();
    return method.startsWith("get") ? attempt.effect(run) : attempt.send(method, text, run);
  }

  return {
    token,
    async exchange(method, payload, { maxMs = limits.callMaxMs, signal } = {}) {
      const reply = await transport.exchange({
        url: urlOf(method),
        body: serialize(payload),
        contentType: "application/json",
        maxMs,
        signal,
      });
      if (reply.kind === "failed") {
        if (reply.why === "aborted") throw new Fault("attempt_revoked", `Bot ${bot}: ${method} was called off.`);
        throw new Fault("unavailable", `Bot ${bot}: no answer to ${method} (${`${reply.why} ${reply.code}`.trim()}).`);
      }
      const answer = parseAnswer(reply.text);
      if (answer !== undefined) return redact.answer(answer);
      throw new Fault(
        "unavailable",
        `Bot ${bot}: the answer to ${method} is not the Bot API's (HTTP ${reply.status}). Check the API root and what stands in between.`,
      );
    },
    // grammY's type says of each method what it answers; here every method is handled alike.
    transformer: transform as unknown as Transformer,
    apiOptions: { apiRoot, fetch: uploadFetch(options.fetch) },
  };
}

/** grammY leaves out what is null; looking for it in the text first costs a fifth of a replacer. */
function serialize(payload: object): string {
  const text = JSON.stringify(payload);
  return text.includes(":null") ? JSON.stringify(payload, (_, value: unknown) => value ?? undefined) : text;
}
