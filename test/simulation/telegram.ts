/** The way between a simulated process and the simulated Telegram: every request may be late, fail, or be cut off by a crash. */
import type { BotApi } from "../../src/simulator/bot-api.ts";
import type { Reply } from "../../src/simulator/wire.ts";
import type { HttpReply, Transport } from "../../src/telegram/exchange.ts";
import type { Oracle } from "./oracle.ts";
import type { Process } from "./process.ts";

export function createSimulatedTransport(process: Process, api: BotApi, oracle: Oracle): Transport {
  return {
    async exchange({ url, body, maxMs, signal }): Promise<HttpReply> {
      const [, token = "", method = ""] = /\/bot([^/]+)\/(\w+)$/.exec(url) ?? [];
      const payload = JSON.parse(body) as Record<string, unknown>;
      const text = method === "sendMessage" ? String(payload["text"]) : undefined;
      const reply = await process.io(() => call(process, api, token, method, payload, maxMs, signal));
      const isOk = reply.kind === "answered" && reply.status === 200 && reply.text.startsWith('{"ok":true');
      if (text !== undefined && !isOk) oracle.unknown(text);
      return reply;
    },
  };
}

function call(
  process: Process,
  api: BotApi,
  token: string,
  method: string,
  payload: Record<string, unknown>,
  maxMs: number,
  signal: AbortSignal | undefined,
): Promise<HttpReply> {
  return new Promise((resolve) => {
    const gone = new AbortController();
    const end = (reply: HttpReply): void => {
      deadline.cancel();
      gone.abort();
      process.connections.delete(gone);
      resolve(reply);
    };
    const deadline = process.clock.setTimer(() => end(failed("deadline")), maxMs);
    process.connections.add(gone);
    const onAbort = (): void => end(failed("aborted"));
    if (signal?.aborted === true) {
      onAbort();
      return;
    }
    signal?.addEventListener("abort", onAbort, { once: true });
    // A hang never ends the call: the deadline does.
    void api.call(token, method, payload, { signal: gone.signal }).then((reply) => {
      const seen = seenFrom(reply);
      if (seen !== undefined) end(seen);
    });
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
