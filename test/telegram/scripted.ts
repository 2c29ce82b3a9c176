/** A client over a transport that answers by script, on a fake clock. */
import { createAbortListeners } from "../../src/abort-listeners.ts";
import { createAttemptScope } from "../../src/attempts.ts";
import type { Attempt, AttemptScope } from "../../src/attempts.ts";
import { toBotId, toLaneKey, toSeq, toToken } from "../../src/ids.ts";
import { createClient } from "../../src/telegram/client.ts";
import type { Client, ClientOptions } from "../../src/telegram/client.ts";
import { createDeadlines } from "../../src/telegram/deadlines.ts";
import type { HttpReply, HttpRequest } from "../../src/telegram/exchange.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { floodOff } from "../support/flood-off.ts";

export const secret = "AAsecretsecretsecretsecretsecret_-x";
// The form is right, so there is a token.
export const token = toToken(`4242:${secret}`) as NonNullable<ReturnType<typeof toToken>>;

/** What the transport answers next: a reply, or a promise of one; `hang` until the signal aborts. */
export type Step = HttpReply | "hang";

export const done = (result: unknown = true): HttpReply => json(200, { ok: true, result });
export const refused = (code: number, description: string, parameters?: object): HttpReply =>
  json(code, { ok: false, error_code: code, description, ...(parameters && { parameters }) });
export const failed = (why: "unreachable" | "closed" | "deadline", code = ""): HttpReply => ({
  kind: "failed",
  why,
  code,
});

function json(status: number, body: unknown): HttpReply {
  return { kind: "answered", status, text: JSON.stringify(body) };
}

export interface Scripted {
  readonly client: Client;
  readonly clock: FakeClock;
  readonly scope: AttemptScope;
  readonly requests: HttpRequest[];
  /** `onCall` and `onRetry`, in order. */
  readonly told: string[];
  /** Calls through the transformer. */
  readonly call: (method: string, payload?: object, signal?: AbortSignal) => Promise<unknown>;
}

/** The last step repeats. */
export function scripted(steps: readonly Step[], options: Partial<ClientOptions> = {}): Scripted {
  const clock = new FakeClock();
  const listeners = createAbortListeners();
  const scope = createAttemptScope();
  const requests: HttpRequest[] = [];
  const told: string[] = [];
  const client = createClient({
    token,
    apiRoot: "http://telegram.example",
    transport: {
      exchange(request) {
        const step = steps[Math.min(requests.length, steps.length - 1)];
        requests.push(request);
        if (step !== undefined && step !== "hang") return Promise.resolve(step);
        return new Promise((resolve) => {
          const abort = (): void => resolve({ kind: "failed", why: "aborted", code: "" });
          if (request.signal?.aborted === true) abort();
          request.signal?.addEventListener("abort", abort);
        });
      },
    },
    fetch: () => Promise.reject(new Error("no network in this test")),
    deadlines: createDeadlines({ clock, tickMs: 200 }),
    listeners,
    flood: floodOff(options.clock ?? clock, options.listeners ?? listeners),
    clock,
    random: () => 0.5,
    scope,
    limits: {
      callMaxMs: 20_000,
      uploadMaxMs: 120_000,
      connectTries: 3,
      connectRetryFirstMs: 100,
      floodWaitMaxMs: 60_000,
    },
    events: {
      onCall: (method, outcome, durationMs) => told.push(`${method} ${outcome} ${durationMs}`),
      onRetry: (method, why, waitMs) => told.push(`${method} again: ${why} ${waitMs}`),
    },
    ...options,
  });
  const transform = client.transformer as unknown as (
    prev: unknown,
    method: string,
    payload: object,
    signal?: AbortSignal,
  ) => Promise<unknown>;
  const prev = (): Promise<never> => Promise.reject(new Error("grammY's own call is not used for JSON"));
  return {
    client,
    clock,
    scope,
    requests,
    told,
    call: (method, payload = {}, signal) => transform(prev, method, payload, signal),
  };
}

/** An attempt that lets every effect through and notes what it is asked. */
export class NotingAttempt implements Attempt {
  readonly bot = toBotId(4242);
  readonly partition = 0;
  readonly seq = toSeq(1);
  readonly updateId = 1;
  readonly lane = toLaneKey(7);
  readonly number = 0;
  readonly receivedAt = 0;
  mayRepeat = false;
  revoked = false;
  isOver = false;
  isClaimed = true;

  mayAct(): boolean {
    return !this.revoked && this.isClaimed;
  }

  readonly asked: string[] = [];
  readonly stopping = new AbortController();
  readonly waiting = new AbortController();

  get signal(): AbortSignal {
    return this.stopping.signal;
  }

  get waitSignal(): AbortSignal {
    return this.waiting.signal;
  }

  effect<T>(run: () => Promise<T>): Promise<T> {
    this.asked.push("effect");
    return run();
  }

  send<T>(method: string, payload: string, run: (call: number) => Promise<T>): Promise<T> {
    this.asked.push(`send ${method} ${payload}`);
    return run(0);
  }

  pause(): void {
    this.asked.push("pause");
  }

  resume(): void {
    this.asked.push("resume");
  }
}
