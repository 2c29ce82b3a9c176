/** Runs a module's middleware as one bot: a grammY Bot whose calls go through botfleet's client, and whose updates come from the inbox. */
import { Bot, BotError } from "grammy";
import { Fault, faultOf } from "../faults.ts";
import type { Update } from "../ids.ts";
import type { Client } from "../telegram/client.ts";
import { createRedactor, type Redactor } from "../telegram/redactor.ts";
import type { Users } from "../users/users.ts";
import type { BotModule, Given } from "./bot.ts";

export interface HostedBotOptions extends Pick<
  Given,
  "name" | "me" | "log" | "now" | "rateLimit" | "limits" | "count"
> {
  readonly client: Pick<Client, "token" | "transformer" | "apiOptions">;
  readonly module: BotModule;
  /** Undefined: for modules that do not use them. */
  readonly users: Users | undefined;
  readonly sessions: Given["sessions"] | undefined;
}

export interface HostedBot {
  /**
   * Runs the middleware on one update. Rejects with what the middleware threw, not with grammY's wrapper, which holds the context and
   * with it the token; where what it threw holds the token, with a copy that does not (a Fault stays a Fault).
   */
  handle(update: Update): Promise<void>;
}

/** Rejects with `module_invalid` where the module cannot make its middleware, or uses what there is not. */
export async function createHostedBot(options: HostedBotOptions): Promise<HostedBot> {
  const { client, module, me } = options;
  const bot = new Bot(client.token, { botInfo: me, client: client.apiOptions });
  // Before anything of the module: what plugins install wraps the client, and nothing gets past it.
  bot.api.config.use(client.transformer);
  bot.use(await module.create(givenOf(options)));
  const redactor = createRedactor(client.token);
  return {
    handle: (update) =>
      bot.handleUpdate(update).catch((error: unknown) => {
        throw withoutToken(error instanceof BotError ? error.error : error, redactor);
      }),
  };
}

function givenOf(options: HostedBotOptions): Given {
  const { name, me, log, now, rateLimit, limits, count, module } = options;
  const given = { name, me, log, now, rateLimit, limits, count };
  for (const use of ["users", "sessions"] as const) {
    if (module.uses?.includes(use) === true) {
      const used = options[use];
      if (used === undefined)
        throw new Fault("module_invalid", `Bot ${name}: its module uses \`${use}\`, and there is no store of ${use}.`);
      Object.defineProperty(given, use, { value: used, enumerable: true });
      continue;
    }
    // Not enumerable: a module may copy what it is given.
    Object.defineProperty(given, use, {
      get() {
        const words = `its module touches \`given.${use}\` without \`export const uses = ["${use}"]\``;
        throw new Fault("module_invalid", `Bot ${name}: ${words}.`);
      },
    });
  }
  return given as Given;
}

const depthMax = 6;
const valuesMax = 1_000;

/** The thing itself where the token is nowhere in it. */
function withoutToken(thrown: unknown, redactor: Redactor): unknown {
  if (!holdsToken(thrown, redactor)) return thrown;
  const fault = faultOf(thrown);
  if (fault !== undefined) {
    const { retryAfterMs, effect } = fault;
    const options = retryAfterMs === undefined ? { effect } : { effect, retryAfterMs };
    return new Fault(fault.code, redactor.text(fault.message), options);
  }
  const copy = new Error(redactor.text(thrown instanceof Error ? thrown.message : String(thrown)));
  if (thrown instanceof Error) {
    copy.name = redactor.text(String(thrown.name));
    copy.stack = redactor.text(String(thrown.stack));
  }
  return copy;
}

/** Looks at everything that a log or `JSON.stringify` could print. What is too deep or too much to look at counts as holding it. */
function holdsToken(thrown: unknown, redactor: Redactor): boolean {
  const seen = new Set<object>();
  const holds = (value: unknown, depth: number): boolean => {
    if (typeof value === "string") return redactor.text(value) !== value;
    if (typeof value !== "object" || value === null || seen.has(value)) return false;
    if (depth > depthMax || seen.size >= valuesMax) return true;
    seen.add(value);
    return Object.getOwnPropertyNames(value).some((key) => holds((value as Record<string, unknown>)[key], depth + 1));
  };
  try {
    return holds(thrown, 0);
  } catch {
    return true; // A getter that throws hides what it would have shown.
  }
}
