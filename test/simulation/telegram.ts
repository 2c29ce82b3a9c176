/** The way between a simulated process and the simulated Telegram: every request may be late, fail, or be cut off by a crash. */
import { type AbortListeners, createAbortListeners } from "../../src/abort-listeners.ts";
import type { BotApi } from "../../src/simulator/bot-api.ts";
import type { Reply } from "../../src/simulator/wire.ts";
import type { HttpReply, Transport } from "../../src/telegram/exchange.ts";
import type { Oracle } from "./oracle.ts";
import type { Process } from "./process.ts";

/** The little that a call needs to know of the process that makes it. */
export type Caller = Pick<Process, "clock" | "connections" | "io">;

export function createSimulatedTransport(process: Caller, api: BotApi, oracle: Pick<Oracle, "unknown">): Transport {
  const listeners = createAbortListeners();
  return {
    async exchange({ url, body, maxMs, signal }): Promise<HttpReply> {
      const [, token = "", method = ""] = /\/bot([^/]+)\/(\w+)$/.exec(url) ?? [];
      const payload = JSON.parse(body) as Record<string, unknown>;
      const text = method === "sendMessage" ? String(payload["text"]) : undefined;
      const reply = await process.io(() => call(process, api, { token, method, payload, maxMs, signal, listeners }));
      const isOk = reply.kind === "answered" && reply.status === 200 && reply.text.startsWith('{"ok":true');
      if (text !== undefined && !isOk) oracle.unknown(text);
      return reply;
    },
  };
}

interface Call {
  readonly token: string;
  readonly method: string;
  readonly payload: Record<string, unknown>;
  readonly maxMs: number;
  readonly signal: AbortSignal | undefined;
  readonly listeners: AbortListeners;
}

function call(
  process: Caller,
  api: BotApi,
  { token, method, payload, maxMs, signal, listeners }: Call,
): Promise<HttpReply> {
  return new Promise((resolve) => {
    const gone = new AbortController();
    let unlisten = (): void => {};
    const end = (reply: HttpReply): void => {
      deadline.cancel();
      unlisten();
      gone.abort();
      process.connections.delete(gone);
      resolve(reply);
    };
    const deadline = process.clock.setTimer(() => end(failed("deadline")), maxMs);
    process.connections.add(gone);
    if (signal?.aborted === true) {
      end(failed("aborted"));
      return;
    }
    if (signal !== undefined) unlisten = listeners.add(signal, () => end(failed("aborted")));
    const answered = async (): Promise<void> => {
      const seen = seenFrom(await api.call(token, method, payload, { signal: gone.signal }));
      // A hang never ends the call: the deadline does.
      if (seen !== undefined) end(seen);
    };
    void answered(); // Never rejects.
  });
}

/** What the client sees of a reply; undefined where nothing ever comes. */
function seenFrom(reply: Reply): HttpReply | undefined {
  switch (reply.kind) {
    case "answer":
      return { kind: "answered", status: reply.status, text: reply.body };
    case "truncated":
    case "reset":
      return failed("closed");
    case "refused":
      return failed("unreachable");
    case "hang":
      return undefined;
  }
}

function failed(why: "deadline" | "aborted" | "closed" | "unreachable"): HttpReply {
  return { kind: "failed", why, code: "" };
}
