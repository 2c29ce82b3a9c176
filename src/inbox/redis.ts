/**
 * The durable inbox of many instances: Redis 6 or newer.
 */
import { Fault } from "../faults.ts";
import { readAddress } from "../redis/address.ts";
import { IoredisServer, type RedisServerLimits } from "../redis/ioredis.ts";
import type { RedisJudgement } from "../redis/settings.ts";
import { createInbox, type FrontOptions } from "./front.ts";
import type { Inbox } from "./inbox.ts";
import { RedisStore, type RedisStoreLimits } from "./redis-store.ts";

export interface RedisInboxOptions extends Omit<FrontOptions, "store" | "partitions" | "freeBytes" | "place"> {
  /** As `readAddress` reads it. */
  readonly url: string;
  /** Of a Redis that has no inbox yet; one that has keeps its own number. */
  readonly partitions: number;
  /** The same: draws what its partitions are called by, the first of them, a whole number; in all inboxes that there are, no two may be alike. */
  readonly newName: () => number;
  /** Lower-case letters and digits, never used before: this process. */
  readonly writer: string;
  /** False: an id delivered twice is two entries. */
  readonly deduplicate: boolean;
  /** Accepts a Redis that may evict or keeps nothing. */
  readonly allowLoss: boolean;
  readonly limits: FrontOptions["limits"] & RedisStoreLimits & RedisServerLimits;
  /** Ends the wait for a Redis that cannot be reached. */
  readonly signal?: AbortSignal;
}

export interface RedisInbox {
  readonly inbox: Inbox;
  /** A number by which a partition is known among all inboxes. */
  readonly nameOf: (partition: number) => number;
}

/**
 * Waits until Redis can be reached, however long that takes; `signal` ends that with `unavailable`. Rejects with `settings_invalid` where it
 * refuses the credentials, may evict or keeps nothing, and with `format_newer`.
 */
export async function createRedisInbox(options: RedisInboxOptions): Promise<RedisInbox> {
  const { limits, clock, log, signal } = options;
  const address = readAddress(options.url);
  const opened = Promise.withResolvers<void>();
  let judgement: RedisJudgement = { refusal: undefined, warnings: [], waitsForDisk: false, losesTail: true };
  const judge = async (isOther: boolean): Promise<void> => {
    judgement = await server.judge();
    const isFirst = judged === undefined;
    // A replica that takes over has not got what came last, however carefully its primary wrote.
    if (isOther && !isFirst && (judgement.losesTail || address.kind === "sentinels")) {
      log?.error("Redis was restarted or another one took its place: what the last moments brought may be lost");
    }
    if (judged !== undefined && judged.join() === judgement.warnings.join()) return;
    judged = judgement.warnings;
    for (const warning of judgement.warnings) log?.warn(warning);
    const { refusal } = judgement;
    if (refusal === undefined) return;
    if (isFirst && !options.allowLoss) throw new Fault("settings_invalid", refusal);
    log?.error(refusal);
  };
  let judged: readonly string[] | undefined;
  const server = new IoredisServer({
    name: "inbox",
    address,
    limits,
    clock,
    onFailed: (fault) => opened.reject(fault),
    onUsable: opened.resolve,
  });
  const store = new RedisStore({
    ...options,
    server,
    database: address.database,
    onPrepared: judge,
    waitsForDisk: () => judgement.waitsForDisk,
  });
  const onAbort = (): void => opened.reject(new Fault("unavailable", `Redis cannot be reached: ${server.lastError}`));
  signal?.addEventListener("abort", onAbort);
  if (signal?.aborted === true) onAbort();
  try {
    await opened.promise;
  } catch (error) {
    server.stop();
    throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
  const freeBytes = (): Promise<number> => server.freeBytes();
  const { partitions } = store;
  const inbox = createInbox({ ...options, store, partitions, freeBytes, place: "the memory of Redis" });
  return { inbox, nameOf: (partition) => store.name + partition };
}
