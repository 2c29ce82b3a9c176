/** What each instance of a fleet shows of all of them: in `/status.json`, on its page and in its metrics. */
import { expect, setDefaultTimeout, test } from "bun:test";
import packageFile from "../../package.json" with { type: "json" };
import { limits } from "../../config/limits.ts";
import { readExposition } from "../support/exposition.ts";
import type { BotfleetProcess } from "../support/botfleet-process.ts";
import { createFleetRig } from "./fleet-rig.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { always } from "./redis-inbox-rig.ts";
import { LiveRedis } from "./redis-server.ts";
import { until } from "./until.ts";

setDefaultTimeout(90_000);

const chats = 40;

describeLive("the status of a fleet", [own(redisServer)], () => {
  test("each instance shows who owns what, what waits in each partition, epochs and heartbeats; one that leaves is gone, its shares elsewhere", async () => {
    const redis = await LiveRedis.start(always);
    try {
      await using rig = await createFleetRig({ redisUrl: redis.url, bots: 2, module: "waiting" });
      const [one, other] = [rig.begin(), rig.begin()];
      await Promise.all([one.started, other.started]);
      await rig.shared();
      const startedAt = Date.now();
      const { api, botIds } = rig.simulator;
      const hanging = api.faults.add({ kind: "hang", method: "sendMessage" });
      for (let chat = 1; chat <= chats; chat++) api.people.person(chat).say(botIds[0] ?? 0, `1 ${chat}`);
      const waiting = async (instance: BotfleetProcess): Promise<number> =>
        ((await instance.status()).fleet?.partitions ?? []).reduce((sum, { backlog = 0 }) => sum + backlog, 0);
      // Each looks for itself.
      for (const instance of [one, other]) await until(async () => (await waiting(instance)) === chats);

      const seen = await Promise.all([one.status(), other.status()]);
      const selves = seen.map(({ fleet }) => fleet?.self ?? "");
      expect(new Set(selves).size).toBe(2);
      for (const { fleet, bots } of seen) {
        expect(fleet?.partitions.map(({ number }) => number)).toEqual([...Array(limits.redisInbox.partitions).keys()]);
        expect(fleet?.partitions).toEqual(seen[0]?.fleet?.partitions ?? []);
        expect(new Set(bots.map(({ owner }) => owner))).toEqual(new Set(selves));
        for (const { owner = "", epoch = 0 } of [...(fleet?.partitions ?? []), ...bots]) {
          expect(selves).toContain(owner);
          expect(epoch).toBeGreaterThan(0);
        }
        expect(new Set(fleet?.instances.map(({ id }) => id))).toEqual(new Set(selves));
        for (const instance of fleet?.instances ?? []) {
          const { state, ready, version, bots: polled, partitions } = instance;
          const half = limits.redisInbox.partitions / 2;
          expect({ state, ready, version, polled, partitions }).toEqual({
            state: "running",
            ready: true,
            version: packageFile.version,
            polled: 1,
            partitions: half,
          });
          expect(instance.lastHeartbeatAt ?? 0).toBeGreaterThan(startedAt - 10_000);
        }
      }
      // Each handles its own part of what waits.
      const handled = seen.flatMap(({ bots }) => bots.map(({ backlog }) => backlog));
      expect(handled.reduce((sum, each) => sum + each, 0)).toBe(chats);
      const { text: page } = await one.page("/");
      for (const self of selves) expect(page).toContain(self);
      const families = readExposition((await other.page("/metrics")).text);
      const partitionBacklogs = families.get("botfleet_partition_backlog_updates")?.samples ?? [];
      expect(partitionBacklogs).toHaveLength(limits.redisInbox.partitions);

      hanging.remove();
      other.kill("SIGTERM");
      expect(await other.exited).toBe(0);
      await until(async () => {
        const { fleet } = await one.status();
        return fleet?.instances.length === 1 && fleet.partitions.every(({ owner }) => owner === fleet.self);
      });
    } finally {
      await redis.stop();
    }
  });
});
