/** Inboxes over a Redis of the test's own. */
import { systemClock } from "../../src/clock.ts";
import type { Inbox } from "../../src/inbox/inbox.ts";
import { newPartitionName } from "../../src/inbox/partition-name.ts";
import { createRedisInbox, type RedisInbox, type RedisInboxOptions } from "../../src/inbox/redis.ts";
import { readAddress } from "../../src/redis/address.ts";
import { IoredisServer } from "../../src/redis/ioredis.ts";
import { RedisStore, type RedisStoreOptions } from "../../src/inbox/redis-store.ts";
import { inboxLimits } from "../inbox/limits.ts";

export const redisInboxLimits = {
  ...inboxLimits,
  writeRetryMs: 50,
  diskReserveBytes: 100_000,
  diskCheckMs: 200,
  callMaxMs: 500,
  connectMaxMs: 1_000,
  hungMaxMs: 700,
  retryCapMs: 100,
  diskMaxMs: 500,
  lookMs: 100,
  rewriteMs: 3_000,
};

/** AOF with an fsync before each answer: what was acknowledged is on the disk. */
export const always = ["--appendonly", "yes", "--appendfsync", "always"];

export async function openRedisInbox(url: string, options: Partial<RedisInboxOptions> = {}): Promise<Inbox> {
  return (await openNamedInbox(url, options)).inbox;
}

export function openNamedInbox(url: string, options: Partial<RedisInboxOptions> = {}): Promise<RedisInbox> {
  return createRedisInbox({
    url,
    partitions: 1,
    newName: newPartitionName,
    writer: newWriter(),
    deduplicate: true,
    allowLoss: true,
    clock: systemClock,
    limits: redisInboxLimits,
    ...options,
  });
}

export function newWriter(): string {
  return crypto.randomUUID().replaceAll("-", "").slice(0, 16);
}

/** The store alone, without the front: for what that never asks. */
export async function openRedisStore(
  url: string,
  options: Partial<RedisStoreOptions> = {},
): Promise<{ store: RedisStore; server: IoredisServer }> {
  const opened = Promise.withResolvers<void>();
  const limits = { ...redisInboxLimits, ...options.limits };
  const [onFailed, onUsable] = [opened.reject, opened.resolve];
  const server = new IoredisServer({
    name: "inbox",
    address: readAddress(url),
    limits,
    clock: systemClock,
    onFailed,
    onUsable,
  });
  const store = new RedisStore({
    server,
    writer: newWriter(),
    database: "0",
    partitions: 1,
    newName: newPartitionName,
    clock: systemClock,
    deduplicate: true,
    onPrepared: async () => {},
    waitsForDisk: () => false,
    ...options,
    limits,
  });
  await opened.promise;
  return { store, server };
}
