/** Where the Redis of the inbox and the leases is: one server, or a name that sentinels know. */
import { Fault } from "../faults.ts";

export type RedisAddress =
  | { readonly kind: "server"; readonly url: string; readonly database: string }
  | {
      readonly kind: "sentinels";
      readonly sentinels: readonly { readonly host: string; readonly port: number }[];
      /** Of the primary, as the sentinels call it. */
      readonly name: string;
      readonly username: string | undefined;
      readonly password: string | undefined;
      readonly database: string;
    };

const form = /^redis\+sentinel:\/\/(?:([^@/:]*)(?::([^@/]*))?@)?([^@/]+)\/([^/?#]+)(?:\/(\d{1,4}))?$/;
const hostForm = /^(?:\[([\da-f:.]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/i;
const sentinelPort = 26_379;

/**
 * `redis://` and `rediss://` as ioredis reads them; `redis+sentinel://user:password@host:26379,host:26379/name/0`, of which credentials (those of the
 * servers, the sentinels need none), ports and database may be left out. Throws `settings_invalid`, whose message does not hold the text.
 */
export function readAddress(text: string): RedisAddress {
  if (/\s/.test(text)) throw invalid();
  if (!text.startsWith("redis+sentinel:")) {
    if (!URL.canParse(text)) throw invalid();
    return { kind: "server", url: text, database: new URL(text).pathname.slice(1) || "0" };
  }
  const [, username, password, hosts = "", name = "", database = "0"] = form.exec(text) ?? [];
  const sentinels = hosts.split(",").map((each) => {
    const [, address6, host = address6, port = sentinelPort] = hostForm.exec(each) ?? [];
    return { host: host ?? "", port: Number(port) };
  });
  if (sentinels.some(({ host, port }) => host === "" || !(port > 0 && port < 65_536))) throw invalid();
  return {
    kind: "sentinels",
    sentinels,
    name: decoded(name) ?? "",
    username: decoded(username),
    password: decoded(password),
    database,
  };
}

function decoded(text: string | undefined): string | undefined {
  try {
    return text === undefined || text === "" ? undefined : decodeURIComponent(text);
  } catch {
    throw invalid();
  }
}

function invalid(): Fault {
  return new Fault(
    "settings_invalid",
    "the address of Redis has not the form redis://user:password@host:port/database or redis+sentinel://user:password@host:port,host:port/name/database",
  );
}
