/** `BOTS_FILE`: the bots to run, as JSON. Read strictly: a field that is not known is a fault, since it is most likely misspelt. */
import { botIdOf } from "../src/ids.ts";
import type { BotId, Token } from "../src/ids.ts";
import type { Found } from "./environment.ts";
import { apiRoot, moduleName, oneOf, tokenForm, tokenIn } from "./parse.ts";
import type { Parse } from "./parse.ts";

export interface BotLimits {
  /** Whose flood control holds sends back: ours, grammY's throttler, or none. The `retry_after` of a 429 is obeyed by all three. */
  readonly engine: "built-in" | "grammy" | "off";
  /** Messages a second to one chat. */
  readonly chatPerSecond: number;
  /** Messages to one chat that may go out at once. */
  readonly chatBurst: number;
  /** Messages a minute to one group. */
  readonly groupPerMinute: number;
  /** Messages a second of broadcasts, over all chats. */
  readonly broadcastPerSecond: number;
}

export const defaultLimits: BotLimits = {
  engine: "built-in",
  chatPerSecond: 1,
  chatBurst: 5,
  groupPerMinute: 20,
  broadcastPerSecond: 30,
};

/** One bot to run. */
export interface BotSettings {
  /** As in logs and metrics; unlike the id it may change. */
  readonly name: string;
  readonly id: BotId;
  readonly token: Token;
  /** The name of a module that botfleet ships, or the path of one. */
  readonly module: string;
  /** Without a slash at its end. */
  readonly apiRoot: string;
  readonly limits: BotLimits;
}

export interface BotsFileOptions {
  /** For bots without an `apiRoot`. */
  readonly apiRoot: string;
  /** The secret that a variable holds; `shown` stands for its name in a fault. */
  readonly secret: (name: string, shown: string) => Found;
  /** Takes a fault: the path of the field (`bots[2].tokenEnv`, or "" for the whole file) and what is wrong with it. */
  readonly fault: (field: string, wrong: string) => void;
}

type Fields = Readonly<Record<string, unknown>>;
type Report = BotsFileOptions["fault"];

/** The bots described in `text`. Where a fault was reported the answer is not complete. */
export function readBotsFile(text: string, options: BotsFileOptions): readonly BotSettings[] {
  const bots: BotSettings[] = [];
  const nameFields = new Map<string, string>();
  const idFields = new Map<BotId, string>();
  for (const [index, entry] of listIn(text, options.fault).entries()) {
    const at = `bots[${index}]`;
    const fields = fieldsOf(entry, at, ["name", "token", "tokenEnv", "module", "apiRoot", "limits"], options.fault);
    if (fields === undefined) continue;
    const name = required(fields, at, "name", botName, options.fault);
    if (name !== undefined) once(nameFields, name, `${at}.name`, "names two bots alike", options.fault);
    const token = tokenOf(fields, at, options);
    if (token !== undefined) once(idFields, botIdOf(token), at, "is the same bot twice", options.fault);
    const module = required(fields, at, "module", moduleName, options.fault);
    const root = "apiRoot" in fields ? required(fields, at, "apiRoot", apiRoot, options.fault) : options.apiRoot;
    const limits = limitsOf(fields["limits"], `${at}.limits`, options.fault);
    if (name === undefined || token === undefined || module === undefined || root === undefined) continue;
    bots.push({ name, id: botIdOf(token), token, module, apiRoot: root, limits });
  }
  return bots;
}

function listIn(text: string, fault: Report): readonly unknown[] {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    // What the parser quotes is a piece of the file and may be a secret.
    const reason =
      error instanceof Error
        ? error.message
            .replace(/^JSON Parse error: /, "")
            .split('"')[0]
            ?.trim()
        : undefined;
    fault("", `is not JSON${reason === undefined || reason === "" ? "" : ` (${reason})`}`);
    return [];
  }
  const fields = fieldsOf(content, "", ["bots"], fault);
  if (fields === undefined) return [];
  const list = fields["bots"];
  if (Array.isArray(list) && list.length > 0) return list;
  fault("bots", "must be a list of at least one bot");
  return [];
}

function fieldsOf(value: unknown, at: string, known: readonly string[], fault: Report): Fields | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    fault(at, `must be an object with ${known.join(", ")}`);
    return undefined;
  }
  for (const field of Object.keys(value)) {
    // A name that does not look like one may be a misplaced secret.
    const shown = /^[A-Za-z_]{1,24}$/.test(field) ? `a field ${field}` : "a field with an odd name";
    if (!known.includes(field)) fault(at, `has ${shown} that is not known; known are ${known.join(", ")}`);
  }
  return value as Fields;
}

function required<T>(fields: Fields, at: string, field: string, parse: Parse<T>, fault: Report): T | undefined {
  const value = fields[field];
  if (typeof value !== "string" || value === "") {
    fault(`${at}.${field}`, value === undefined ? "is missing" : "must be a text that is not empty");
    return undefined;
  }
  const parsed = parse(value);
  if ("value" in parsed) return parsed.value;
  fault(`${at}.${field}`, parsed.wrong);
  return undefined;
}

/** No colon, so that a token written here by mistake never becomes a name and with it a part of every log line. */
const botName: Parse<string> = (text) =>
  /^[\p{L}\p{N}](?:[\p{L}\p{N} _.-]{0,62}[\p{L}\p{N}_.-])?$/u.test(text)
    ? { value: text }
    : { wrong: "must be 1 to 64 letters, digits, blanks, _ . or -, with a letter or digit first" };

const variableName: Parse<string> = (text) =>
  /^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(text)
    ? { value: text }
    : { wrong: "must be the name of an environment variable, not the token itself" };

const token: Parse<Token> = (text) => {
  const value = tokenIn(text);
  return value === undefined ? { wrong: tokenForm } : { value };
};

function tokenOf(fields: Fields, at: string, options: BotsFileOptions): Token | undefined {
  const { fault } = options;
  if ("token" in fields === "tokenEnv" in fields) {
    fault(at, "token" in fields ? "has both token and tokenEnv; keep one" : "needs token or tokenEnv");
    return undefined;
  }
  if ("token" in fields) return required(fields, at, "token", token, fault);
  const name = required(fields, at, "tokenEnv", variableName, fault);
  if (name === undefined) return undefined;
  // Only what looks like the name of a variable is repeated: anything else may be the secret half of a token.
  const shown = /^[A-Z][A-Z0-9_]*$/.test(name) ? name : "a variable";
  const field = `${at}.tokenEnv`;
  const secret = options.secret(name, shown);
  if ("fault" in secret) fault(field, secret.fault);
  else if (secret.value === undefined) fault(field, `names ${shown}, and neither it nor its _FILE form is set`);
  else {
    const value = tokenIn(secret.value);
    if (value !== undefined) return value;
    fault(field, `names ${shown}, whose value ${tokenForm}`);
  }
  return undefined;
}

const limitForms = {
  chatPerSecond: { whole: false, max: 1_000 },
  chatBurst: { whole: true, max: 1_000 },
  groupPerMinute: { whole: false, max: 60_000 },
  broadcastPerSecond: { whole: false, max: 1_000 },
} as const;

function limitsOf(value: unknown, at: string, fault: Report): BotLimits {
  if (value === undefined) return defaultLimits;
  const fields = fieldsOf(value, at, Object.keys(defaultLimits), fault);
  if (fields === undefined) return defaultLimits;
  const engine =
    "engine" in fields ? required(fields, at, "engine", oneOf("built-in", "grammy", "off"), fault) : undefined;
  const number = (field: keyof typeof limitForms): number => {
    if (!(field in fields)) return defaultLimits[field];
    const { whole, max } = limitForms[field];
    const given = fields[field];
    if (typeof given === "number" && given > 0 && given <= max && (!whole || Number.isInteger(given))) return given;
    fault(`${at}.${field}`, `must be a ${whole ? "whole " : ""}number above 0 and up to ${max}`);
    return defaultLimits[field];
  };
  return {
    engine: engine ?? defaultLimits.engine,
    chatPerSecond: number("chatPerSecond"),
    chatBurst: number("chatBurst"),
    groupPerMinute: number("groupPerMinute"),
    broadcastPerSecond: number("broadcastPerSecond"),
  };
}

function once<T>(seen: Map<T, string>, value: T, field: string, wrong: string, fault: Report): void {
  const earlier = seen.get(value);
  if (earlier === undefined) seen.set(value, field);
  else fault(field, `${wrong}: see ${earlier}`);
}
