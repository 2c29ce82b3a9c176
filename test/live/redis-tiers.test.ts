/**
 * The promise of the simulation on a real Redis: three instances read and write the same few users while it is killed, frozen, emptied and
 * restarted, connections are cut, scripts flushed and users evicted, and instances die. Once quiet, every tier holds what storage holds.
 */
import { expect, test } from "bun:test";
import { toUserId, type UserId } from "../../src/ids.ts";
import type { User } from "../../src/users/user.ts";
import { seededRandom } from "../simulation/scheduler.ts";
import { userOf } from "../support/users.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { type LiveInstance, startInstance, until } from "./redis-rig.ts";
import { LiveRedis } from "./redis-server.ts";

const people = Array.from({ length: 12 }, (_, at) => toUserId(at + 1));
const troubledMs = 3_000;
/** Ten seconds each. */
const seeds = Number(process.env["LIVE_SEEDS"] ?? 1);

describeLive("users over a troubled Redis", [own(redisServer)], () => {
  for (let seed = 1; seed <= seeds; seed++) {
    test(`once quiet, every tier equals storage: seed ${seed}`, async () => {
      const world = new TroubledRedis(seed, await LiveRedis.start());
      try {
        await world.run();
      } finally {
        await world.stop();
      }
    }, 60_000);
  }
});

class TroubledRedis {
  readonly #redis: LiveRedis;
  readonly #random: () => number;
  readonly #storage = new Map<UserId, User>();
  readonly #instances: LiveInstance[];
  readonly #gone: LiveInstance[] = [];
  #isTroubled = true;
  #works = 0;
  #failures = 0;

  constructor(seed: number, redis: LiveRedis) {
    this.#redis = redis;
    this.#random = seededRandom(seed);
    this.#instances = [1, 2, 3].map(() => this.#start());
  }

  async run(): Promise<void> {
    const working = Array.from({ length: 12 }, () => this.#work());
    const startedAt = performance.now();
    while (performance.now() - startedAt < troubledMs) {
      await this.#trouble();
      await Bun.sleep(this.#random() * 200);
    }
    this.#isTroubled = false;
    await Promise.all(working);
    expect(this.#failures).toBe(0);
    expect(this.#works).toBeGreaterThan(500);
    // What an instance that died has left is doubted twice.
    await until(() =>
      this.#instances.every(({ shared }) => shared.stats().breaker === "closed" && shared.stats().owed === 0),
    );
    await Bun.sleep(7_500);
    for (const id of people) {
      const wanted = this.#storage.get(id)?.version;
      for (const { memory, shared } of this.#instances) {
        const held = memory.held(id)?.version ?? wanted;
        const read = (await memory.read([id])).get(id)?.version;
        const below = (await shared.read([id])).get(id)?.version;
        expect({ id, held, read, below }).toEqual({ id, held: wanted, read: wanted, below: wanted });
      }
    }
    expect(this.#instances.some(({ shared }) => shared.stats().hits > 0)).toBe(true);
  }

  async stop(): Promise<void> {
    for (const { shared } of this.#instances) await shared.stop();
    for (const { redis } of this.#gone) await redis.stop();
    await this.#redis.stop();
  }

  #start(): LiveInstance {
    return startInstance({
      url: this.#redis.url,
      storage: this.#storage,
      heldMax: 6,
      storageMs: () => (this.#random() < 0.1 ? this.#random() * 50 : 0),
    });
  }

  async #work(): Promise<void> {
    while (this.#isTroubled) {
      const { memory } = this.#pick(this.#instances);
      const id = this.#pick(people);
      const kind = this.#random();
      try {
        const before = memory.held(id) ?? (await memory.read([id])).get(id);
        if (kind < 0.3) await this.#write(memory, id, before);
        else if (kind < 0.4) {
          this.#storage.set(id, userOf(id, (this.#storage.get(id)?.version ?? 0) + 1));
          await Bun.sleep(this.#random() * 5);
          memory.forget([id]);
        }
      } catch {
        this.#failures++;
      }
      this.#works++;
      await Bun.sleep(this.#random() * 5);
    }
  }

  async #write(memory: LiveInstance["memory"], id: UserId, before: User | undefined): Promise<void> {
    const next = userOf(id, (before?.version ?? 0) + 1);
    await Bun.sleep(this.#random() * 3);
    if ((this.#storage.get(id)?.version ?? 0) !== next.version - 1) {
      memory.forget([id]);
      await memory.readFresh([id]);
      return;
    }
    this.#storage.set(id, next);
    await Bun.sleep(this.#random() * 3);
    memory.stored([next]);
  }

  async #trouble(): Promise<void> {
    const redis = this.#redis;
    const troubles: readonly (() => Promise<unknown>)[] = [
      () => redis.command("SCRIPT", "FLUSH"),
      () => redis.command("CLIENT", "KILL", "TYPE", "pubsub"),
      () => redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"),
      () => redis.command("FLUSHALL"),
      () =>
        redis.command("DEL", ...people.filter(() => this.#random() < 0.5).map((id) => `botfleet:u1:test:${id}`), "x"),
      () => redis.command("SAVE"),
      async () => {
        redis.signal("SIGSTOP");
        await Bun.sleep(this.#random() * 600);
        redis.signal("SIGCONT");
      },
      async () => {
        await redis.kill();
        await Bun.sleep(this.#random() * 300);
        await redis.boot();
      },
      async () => {
        // Dies: it beats no more and says no goodbye. What it has at work goes on without telling anybody.
        const [dead] = this.#instances.splice(0, 1);
        if (dead !== undefined) {
          this.#gone.push(dead);
          await dead.redis.stop();
        }
        this.#instances.push(this.#start());
      },
    ];
    await this.#pick(troubles)().catch(() => {});
  }

  #pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.#random() * items.length)] as T;
  }
}
