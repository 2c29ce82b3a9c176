/**
 * How the text of a setting becomes a value. Every parser answers with the value or with what is wrong, worded so that it follows
 * the setting's name ("PORT must be ..."). It never repeats the text it was given: a secret pasted into the wrong variable must not
 * reach a log.
 */
import { botIdOf, toToken } from "../src/ids.ts";
import type { Token } from "../src/ids.ts";
import { readAddress } from "../src/redis/address.ts";

export type Parsed<T> = { readonly value: T } | { readonly wrong: string };
export type Parse<T> = (text: string) => Parsed<T>;

/** A whole number from `min` to `max`, in digits only. */
export function wholeNumber(min: number, max: number): Parse<number> {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max ? { value } : { wrong: `must be a whole number from ${min} to ${max}` };
  };
}

/** `true`, `false`, `1` or `0`. */
export const flag: Parse<boolean> = (text) => {
  if (text === "true" || text === "1") return { value: true };
  if (text === "false" || text === "0") return { value: false };
  return { wrong: "must be true or false (1 and 0 mean the same)" };
};

export function oneOf<T extends string>(...allowed: readonly T[]): Parse<T> {
  return (text) => {
    const value = allowed.find((each) => each === text);
    return value === undefined ? { wrong: `must be one of ${allowed.join(", ")}` } : { value };
  };
}

/** The path of a file or folder. */
export const path: Parse<string> = (text) =>
  hasControl(text) ? { wrong: "must be a path, without control characters" } : { value: text };

/** A host name or an IP address to listen on. */
export const host: Parse<string> = (text) =>
  /^[A-Za-z0-9._:%-]{1,255}$/.test(text)
    ? { value: text }
    : { wrong: "must be a host name or an IP address, such as 0.0.0.0, without scheme and port" };

/** A secret that is sent in an HTTP header: visible ASCII, no blanks. */
export const headerSecret: Parse<string> = (text) =>
  /^[\x21-\x7e]{1,1024}$/.test(text)
    ? { value: text }
    : { wrong: "must be 1 to 1024 visible ASCII characters without blanks" };

/** Modules that botfleet ships; `stateful` ones keep users or sessions in the storage. */
const modules: Readonly<Record<string, { readonly stateful: boolean }>> = {
  referral: { stateful: true },
  echo: { stateful: false },
};

/** Whether a module is known to use users or sessions. A module given by its path is not known to. */
export function usesStorage(module: string): boolean {
  return Object.hasOwn(modules, module) && modules[module]?.stateful === true;
}

/** The name of a module that botfleet ships, or the path of one. */
export const moduleName: Parse<string> = (text) => {
  if (Object.hasOwn(modules, text)) return { value: text };
  const isPath = /[/\\]/.test(text) || /\.[cm]?[jt]sx?$/.test(text);
  return isPath && !hasControl(text)
    ? { value: text }
    : { wrong: `must be ${Object.keys(modules).join(", ")} or the path of a module, such as ./bots/shop.ts` };
};

/** One token, or undefined where the text is none. */
export function tokenIn(text: string): Token | undefined {
  const token = toToken(text);
  if (token === undefined) return undefined;
  const id = botIdOf(token);
  return Number.isSafeInteger(id) && id > 0 ? token : undefined;
}

/** What to say of a text that is no token. */
export const tokenForm = "has not the form <number>:<letters, digits, _ or -> in which @BotFather gives it";

/** Tokens separated by commas, blanks or line ends, each of another bot. A wrong one is described by its place. */
export const tokenList: Parse<readonly Token[]> = (text) => {
  const pieces = text.split(/[\s,]+/).filter((piece) => piece !== "");
  if (pieces.length === 0) return { wrong: "holds no token" };
  const tokens: Token[] = [];
  const placeOf = new Map<number, number>();
  const wrong: string[] = [];
  for (const [index, piece] of pieces.entries()) {
    const place = index + 1;
    const token = tokenIn(piece);
    if (token === undefined) {
      wrong.push(`token ${place} of ${pieces.length} ${tokenForm}`);
      continue;
    }
    const earlier = placeOf.get(botIdOf(token));
    if (earlier === undefined) placeOf.set(botIdOf(token), place);
    else wrong.push(`token ${place} belongs to the same bot as token ${earlier}; give each bot once`);
    tokens.push(token);
  }
  return wrong.length === 0 ? { value: tokens } : { wrong: wrong.join("; ") };
};

/** The root of a Bot API server, answered without a slash at its end. */
export const apiRoot: Parse<string> = (text) => {
  const url = urlIn(text, "http:", "https:");
  if (url === undefined) return { wrong: "must be an http:// or https:// URL, such as https://api.telegram.org" };
  if (url.username !== "" || url.password !== "") return { wrong: "must not hold a user name or password" };
  if (url.search !== "" || url.hash !== "") return { wrong: "must not hold a query (?) or fragment (#)" };
  return { value: (url.origin + url.pathname).replace(/\/+$/, "") };
};

export const redisUrl: Parse<string> = (text) => {
  if (text.startsWith("redis+sentinel:")) return sentinelsUrl(text);
  const url = urlIn(text, "redis:", "rediss:");
  if (url === undefined || url.hostname === "" || !isDecodable(text)) {
    return {
      wrong:
        "must be a redis://, rediss:// or redis+sentinel:// URL, such as redis://127.0.0.1:6379; encode special characters of a password as %XX",
    };
  }
  return /^(\/\d{0,4})?$/.test(url.pathname)
    ? { value: text }
    : { wrong: "may end with the number of a database, such as /0, and with nothing else" };
};

const sentinelsUrl: Parse<string> = (text) => {
  try {
    readAddress(text);
    return { value: text };
  } catch {
    return {
      wrong:
        "must be of the form redis+sentinel://user:password@host:26379,host:26379/name/0, where name is what the sentinels call the primary; credentials (of the servers), ports and the database may be left out; encode special characters of a password as %XX",
    };
  }
};

/** Not read by `URL`, which knows no list of hosts: `mongodb://user:password@host1:27017,host2:27017/database?options`. */
const mongodbForm = ((): RegExp => {
  const server = String.raw`(?:\[[0-9A-Fa-f:.]+\]|[^@/?#\s,:[\]]+)(?::\d{1,5})?`;
  return new RegExp(
    String.raw`^mongodb(?:\+srv)?://(?:[^@/?#\s]*@)?${server}(?:,${server})*(?:/([^/?#\s]*))?(?:\?[^\s#]*)?$`,
  );
})();

export interface MongodbUri {
  readonly uri: string;
  /** The database named in it, undefined where there is none. */
  readonly database: string | undefined;
}

export const mongodbUri: Parse<MongodbUri> = (text) => {
  const found = mongodbForm.exec(text);
  if (found === null || !isDecodable(text)) {
    return {
      wrong:
        "must be a mongodb:// or mongodb+srv:// URI, such as mongodb://127.0.0.1:27017/botfleet; encode special characters of a password as %XX",
    };
  }
  const database = found[1] ?? "";
  if (database === "") return { value: { uri: text, database: undefined } };
  const checked = databaseName(database);
  return "wrong" in checked ? { wrong: `its database ${checked.wrong}` } : { value: { uri: text, database } };
};

/** MongoDB's own rules for a database name that works on every system. */
export const databaseName: Parse<string> = (text) =>
  /^[A-Za-z0-9_-]{1,63}$/.test(text) ? { value: text } : { wrong: "must be 1 to 63 letters, digits, _ or -" };

function urlIn(text: string, ...schemes: readonly string[]): URL | undefined {
  if (/\s/.test(text) || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  // `URL` repairs "http:host" and "http:/host"; whoever wrote that meant something else.
  return schemes.includes(url.protocol) && text.slice(url.protocol.length).startsWith("//") ? url : undefined;
}

/** A password with a `%` that was not encoded, which no client can read. */
function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false; // It throws for nothing else.
  }
}

function hasControl(text: string): boolean {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  return /[\u0000-\u001f\u007f]/.test(text);
}
