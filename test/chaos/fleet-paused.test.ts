/** An instance of a fleet stands still (SIGSTOP) for longer than its claims last, and wakes up late. */
import { expect, test } from "bun:test";
import { limits } from "../../config/limits.ts";
import { startLoad } from "../../src/simulator/generator.ts";
import { createFleetRig, metricOf, ownersIn } from "../live/fleet-rig.ts";
import { describeLive } from "../live/live.ts";
import { own, redisServer } from "../live/programs.ts";
import { unsettledIn } from "../live/redis-contents.ts";
import { always } from "../live/redis-inbox-rig.ts";
import { LiveRedis } from "../live/redis-server.ts";
import { until } from "./rig.ts";

const bots = 3;
const chats = 60;
const perSecond = 100;
const pausedMs = 3 * limits.leases.ttlMs;
/** Promised. */
const takeOverMaxMs = 15_000;
/** After it an answer of Telegram's has come in, ms. */
const receivedMs = 50;

describeLive("a fleet of three", [own(redisServer)], () => {
  test("goes on without an owner that stands still for three times its claims, whose late writes are refused and counted", async () => {
    const redis = await LiveRedis.start(always);
    try {
      await using rig = await createFleetRig({ redisUrl: redis.url, bots, module: "lingering" });
      const [paused, ...others] = [rig.begin(), rig.begin(), rig.begin()];
      await Promise.all(rig.instances.map(({ started }) => started));
      await rig.shared();
      const load = startLoad(rig.simulator.api, { chats, perSecond, pick: "random" }, Math.random);
      await until("some answers", () => rig.answers.count > 200);
      const { fleet } = await paused.status();
      const owned = fleet?.partitions.filter(({ owner }) => owner === fleet.self) ?? [];
      expect(owned.length).toBeGreaterThan(0);

      const at = Date.now();
      const stoppedAtMs = performance.now();
      paused.kill("SIGSTOP");
      // What it had sent is received by then, by Redis as well.
      await Bun.sleep(4 * receivedMs);
      const numbers = new Set(owned.map(({ number }) => number));
      const unsettled = (await unsettledIn(redis)).filter(({ partition }) => numbers.has(partition));
      const pause = { at, overAt: Date.now(), unsettled };
      const answeredBefore = (ms: number): number =>
        unsettled.filter(({ bot, text }) => (rig.answers.of(bot, text ?? "")[0] ?? Infinity) <= ms).length;
      await until("a take-over", async () => {
        const seen = await Promise.all(others.map((other) => other.status()));
        return seen.flatMap(ownersIn).every(({ owner = "" }) => owner !== "" && owner !== fleet?.self);
      });
      const takenOverMs = performance.now() - stoppedAtMs;
      await until("the end of the pause", () => performance.now() - stoppedAtMs > pausedMs);
      paused.kill("SIGCONT");
      await rig.shared();
      load.stop();
      await rig.idle(redis);

      const report = load.oracle.report();
      const repetitions = rig.answers.repetitions([pause]);
      const fenced = rig.instances.map((each) => metricOf(each, 'botfleet_inbox_fenced_writes_total{what="outcome"}'));
      const [late = 0, ...ofOthers] = await Promise.all(fenced);
      const mustBeRefused = answeredBefore(at - receivedMs);
      const figures = { ...report, ...repetitions, takenOverMs, refused: late, mustBeRefused };
      console.log(`  ${JSON.stringify(figures)}`);
      expect(report).toMatchObject({ lost: 0, reordered: 0, strange: 0 });
      expect(takenOverMs).toBeLessThan(takeOverMaxMs);
      expect(report.latency.maxMs).toBeLessThan(takeOverMaxMs);
      // An answer is repeated where its outcome was not written before the pause, and by nobody later.
      expect(repetitions.explained).toBe(report.doubled);
      expect(report.doubled).toBeLessThanOrEqual(repetitions.inWork);
      // The handlers that had been answered end as soon as it wakes up, before it knows what it has lost. Their outcomes are refused by itself where
      // it has learned that until they are written, else by Redis: one counter for both.
      expect(mustBeRefused).toBeGreaterThan(0);
      expect(late).toBeGreaterThanOrEqual(mustBeRefused);
      expect(late).toBeLessThanOrEqual(answeredBefore(Infinity));
      expect(ofOthers).toEqual([0, 0]);
    } finally {
      await redis.stop();
    }
  }, 90_000);
});
