/** The simulated Bot API on a real port. */
import { systemClock } from "../clock.ts";
import type { Token } from "../ids.ts";
import { decode } from "./body.ts";
import type { BotApi, BotApiOptions } from "./bot-api.ts";
import { createBotApi } from "./bot-api.ts";
import type { Handler, HttpListener } from "./connection.ts";
import { listenHttp } from "./connection.ts";
import type { Control } from "./control.ts";
import { createControl } from "./control.ts";
import type { HttpRequest } from "./http.ts";
import type { SendLimits } from "./send-limits.ts";
import type { Payload, Reply } from "./wire.ts";
import { refusal, words } from "./wire.ts";

export interface SimulatorOptions extends Partial<BotApiOptions> {
  /** Bots to begin with; default 1. */
  readonly bots?: number;
  /** Id of the first; the others follow. Default 100,001. */
  readonly firstBotId?: number;
  /** Sending limits of those bots; default: none. */
  readonly limits?: SendLimits;
  /** Default 0: any free one. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Serves TLS: PEM texts. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

export interface Simulator {
  /** `http://127.0.0.1:<port>`, for `TELEGRAM_API_ROOT`. */
  readonly url: string;
  readonly port: number;
  readonly api: BotApi;
  readonly botIds: readonly number[];
  readonly tokens: readonly Token[];
  /** Connections open now. */
  connections(): number;
  /** Stops listening and destroys every connection, as an outage does. */
  pause(): void;
  /** Listens again on the same port. */
  resume(): void;
  /** `pause` for good; idempotent. */
  stop(): Promise<void>;
}

const notFound = refusal(404, words.notFound);
const idle = (): void => undefined;

export function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const random = options.random ?? Math.random;
  const api = createBotApi({ ...options, clock: options.clock ?? systemClock, random });
  const firstId = options.firstBotId ?? 100_001;
  const limits = options.limits === undefined ? {} : { limits: options.limits };
  const bots = Array.from({ length: options.bots ?? 1 }, (_, at) => api.addBot({ id: firstId + at, ...limits }));
  const hostname = options.host ?? "127.0.0.1";
  const tls = options.tls === undefined ? {} : { tls: options.tls };
  const connections = (): number => listener?.connections() ?? 0;
  const handle = handler(api, createControl({ api, random, connections }));
  const listen = (port: number): HttpListener => listenHttp({ hostname, port, ...tls }, handle);
  let listener: HttpListener | undefined = listen(options.port ?? 0);
  const { port } = listener;
  const pause = (): void => {
    listener?.stop();
    listener = undefined;
  };
  return Promise.resolve({
    url: `${options.tls === undefined ? "http" : "https"}://${hostname}:${port}`,
    port,
    api,
    botIds: bots.map(({ id }) => id),
    tokens: bots.map(({ token }) => token),
    connections,
    pause,
    resume: () => {
      listener ??= listen(port);
    },
    stop: () => {
      pause();
      return Promise.resolve();
    },
  });
}

function handler(api: BotApi, control: Control): Handler {
  return (request, respond) => {
    const { target } = request;
    const query = target.indexOf("?");
    const path = query < 0 ? target : target.slice(0, query);
    const own = path.startsWith("/simulator/");
    // A server of one's own may stand below a path.
    const botAt = path.lastIndexOf("/bot");
    const slash = botAt < 0 ? -1 : path.indexOf("/", botAt + 4);
    if (!own && slash < 0) {
      respond(notFound);
      return idle;
    }
    // Scripts forget the Content-Type of their JSON; Bot API clients must not.
    const payload = decoded(request, own ? "application/json" : undefined, respond);
    if (payload === undefined) return idle;
    if (own) {
      // Never rejects: every fault is an answer.
      void control(request.method, path.slice("/simulator/".length), payload).then(respond);
      return idle;
    }
    const token = path.slice(botAt + 4, slash);
    const method = path.slice(slash + 1);
    return api.serve(token.includes("%") ? unescaped(token) : token, method, payload, respond, path.slice(0, botAt));
  };
}

function decoded(request: HttpRequest, type: string | undefined, respond: (reply: Reply) => void): Payload | undefined {
  try {
    return decode(request, type);
  } catch {
    respond(refusal(400, "Bad Request: can't parse the request body"));
    return undefined;
  }
}

function unescaped(token: string): string {
  try {
    return decodeURIComponent(token);
  } catch {
    // Not an escape after all: the token is wrong either way.
    return token;
  }
}
