/** What the configuration of the inbox Redis means for promise 1: said at the opening, before anything is entrusted to it. */
import { pairsOf } from "./pairs.ts";

export interface RedisJudgement {
  /** Why it must not be used, unless losses are allowed; undefined where it may. */
  readonly refusal: string | undefined;
  readonly warnings: readonly string[];
  /** A write has to wait until it is on the server's disk. */
  readonly waitsForDisk: boolean;
  /** A restart may undo what was written last. */
  readonly losesTail: boolean;
}

/** `config`: pairs as of CONFIG GET, or undefined where the server does not tell. `hasWaitAof`: 7.2 and newer. */
export function judgeSettings(config: ReadonlyMap<string, string> | undefined, hasWaitAof: boolean): RedisJudgement {
  if (config === undefined) {
    const warning =
      "Redis does not tell its configuration (CONFIG is forbidden): see to it that it runs with maxmemory-policy noeviction and appendonly yes";
    return { refusal: undefined, warnings: [warning], waitsForDisk: false, losesTail: true };
  }
  const setting = (name: string): string => config.get(name) ?? "";
  const isAof = setting("appendonly") === "yes";
  const fsync = setting("appendfsync");
  const faults: string[] = [];
  const policy = setting("maxmemory-policy");
  if (policy !== "" && policy !== "noeviction" && Number(setting("maxmemory")) > 0) {
    faults.push(
      `it may throw updates away when it is full (maxmemory-policy ${policy}): set maxmemory-policy noeviction`,
    );
  }
  if (!isAof && setting("save") === "") {
    faults.push("it keeps nothing over a restart (appendonly no, save off): set appendonly yes");
  }
  const advice = "or REDIS_ALLOW_LOSS=true where losing updates does not matter";
  return {
    refusal: faults.length === 0 ? undefined : `Redis cannot hold the inbox: ${faults.join("; ")}; ${advice}`,
    warnings: warningsOf(isAof, setting("save"), fsync, hasWaitAof),
    waitsForDisk: isAof && fsync === "everysec" && hasWaitAof,
    losesTail: !isAof || fsync !== "always",
  };
}

function warningsOf(isAof: boolean, save: string, fsync: string, hasWaitAof: boolean): string[] {
  if (!isAof && save === "") return [];
  if (!isAof)
    return [
      `Redis keeps snapshots only (save ${save}): a crash loses what came since the last one; set appendonly yes`,
    ];
  if (fsync === "always") return [];
  if (fsync === "everysec" && hasWaitAof) {
    return [
      "Redis writes to its disk each second (appendfsync everysec): appends wait for it (WAITAOF), up to a second longer; appendfsync always is faster",
    ];
  }
  const loss =
    fsync === "everysec" ? "what the last second brought" : "what the system had not written yet (half a minute)";
  return [
    `a power loss, crash or fail-over of Redis loses ${loss} (appendfsync ${fsync}): set appendfsync always to lose nothing`,
  ];
}

/** Said where the server lets its user use no channels, as Redis 7 does unless told otherwise. */
export const deafWarning =
  "Redis lets the user of REDIS_URL use no channels: each instance hears late what another one does; give it &botfleet:* (ACL SETUSER)";

/** The commands whose answers `configOf` reads. */
export const configCommands = [
  ["CONFIG", "GET", "maxmemory*"],
  ["CONFIG", "GET", "append*"],
  ["CONFIG", "GET", "save"],
] as const;

export function configOf(answers: readonly unknown[]): ReadonlyMap<string, string> {
  return new Map(answers.flatMap((answer) => [...pairsOf(answer as readonly string[])]));
}

/** Bytes left until the server is full; infinite where it has no limit. `info`: of `INFO memory`. */
export function freeBytesOf(info: string): number {
  const number = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1] ?? 0);
  const most = number("maxmemory");
  return most === 0 ? Infinity : most - (number("used_memory") - number("mem_not_counted_for_evict"));
}
