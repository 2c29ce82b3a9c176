/** One connection to a Redis. What is sent while there is none rejects at once; nothing is queued for later and nothing is sent twice. */
import { Redis } from "ioredis";
import type { RedisAddress } from "./address.ts";

export interface ConnectionLimits {
  /** Deadline of a call, ms. */
  readonly callMaxMs: number;
  readonly connectMaxMs: number;
  /** Silence of a connection that owes answers, after which it is opened anew, ms. */
  readonly hungMaxMs: number;
  /** Longest wait between two tries to connect, ms. */
  readonly retryCapMs: number;
}

/** Connects in the background, again and again. `name` stands in the server's list of clients. */
export function connect(address: RedisAddress, name: string, limits: ConnectionLimits): Redis {
  const retryStrategy = (times: number): number => Math.min(limits.retryCapMs, 50 * 2 ** Math.min(times, 10));
  const options = {
    connectionName: `botfleet-${name}`,
    protocol: 2 as const,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
    commandTimeout: limits.callMaxMs,
    connectTimeout: limits.connectMaxMs,
    socketTimeout: limits.hungMaxMs,
    retryStrategy,
    // A primary that became a replica: connect anew, to where the name leads now. Redis 6 begins the message with the script that met it.
    reconnectOnError: ({ message }: Error) => message.includes("READONLY"),
  };
  if (address.kind === "server") return new Redis(address.url, options);
  const { sentinels, name: primary, username, password, database } = address;
  return new Redis({
    ...options,
    sentinels: sentinels.map(({ host, port }) => ({ host, port })),
    name: primary,
    db: Number(database),
    sentinelCommandTimeout: limits.callMaxMs,
    sentinelRetryStrategy: retryStrategy,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  });
}
