/** The own transport's sockets, ending in the simulated Bot API: no network, no real time. */
import type { BotApi } from "../../src/simulator/bot-api.ts";
import { decode } from "../../src/simulator/body.ts";
import { formatAnswer, parseRequest } from "../../src/simulator/http.ts";
import type { Reply } from "../../src/simulator/wire.ts";
import type { Connect, WireEvents } from "../../src/telegram/socket.ts";

/** `refuses` is asked at each attempt to connect. A call struck by `refused` on an open connection meets a reset. */
export function createSimulatedConnect(api: BotApi, refuses: () => boolean): Connect {
  return (_target, events) => {
    if (refuses()) queueMicrotask(() => events.refused("ECONNREFUSED"));
    else queueMicrotask(() => open(api, events));
  };
}

function open(api: BotApi, events: WireEvents): void {
  let got = Buffer.alloc(0);
  let cancel = (): void => undefined;
  let isOpen = true;
  const close = (): void => {
    isOpen = false;
    cancel();
  };
  events.opened({
    write(data) {
      if (!isOpen) return -1;
      const bytes = Buffer.from(data as string);
      got = Buffer.concat([got, bytes]);
      const parsed = parseRequest(got, false);
      if (typeof parsed !== "object") return bytes.length;
      const { request } = parsed;
      got = got.subarray(parsed.bytes);
      const [, token = "", method = ""] = /\/bot([^/]+)\/(\w+)$/.exec(request.target) ?? [];
      cancel = api.serve(token, method, decode(request), (reply) => {
        cancel = () => undefined;
        // Never within `write`, as from a network.
        queueMicrotask(() => {
          if (isOpen && !answer(reply, events)) isOpen = false;
        });
      });
      return bytes.length;
    },
    end: close,
    terminate: close,
  });
}

/** Whether the connection stays open. */
function answer(reply: Reply, events: WireEvents): boolean {
  switch (reply.kind) {
    case "hang":
      return true;
    case "answer":
      events.received(Buffer.from(formatAnswer(reply.status, reply.headers, reply.body, true)));
      return true;
    case "truncated": {
      const whole = Buffer.from(formatAnswer(reply.status, reply.headers, reply.body, true));
      events.received(whole.subarray(0, whole.length - Math.ceil(Buffer.byteLength(reply.body) / 2)));
      events.closed("");
      return false;
    }
    case "reset":
    case "refused":
      events.closed("ECONNRESET");
      return false;
  }
}
