/** The shipped configurations of NGINX and HAProxy, under the real programs, over three botfleets of which some end or fail. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { createStage, type Stage } from "../start/stage.ts";
import type { BotfleetProcess } from "../support/botfleet-process.ts";
import type { Balancer } from "./balancer-process.ts";
import { haproxy, nginx } from "./balancer.ts";
import { describeLive } from "./live.ts";
import { opensslProgram } from "./programs.ts";
import { freePort } from "./redis-server.ts";
import { until } from "./until.ts";

setDefaultTimeout(150_000);

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each[Symbol.asyncDispose]();
});

/** An instance of the fleet, with a folder and a bot of its own: its name tells which one has answered. */
interface Instance {
  readonly stage: Stage;
  readonly port: number;
  process: BotfleetProcess;
}

function nameOf(index: number): string {
  return `bot-of-${index}`;
}

async function startInstance(index: number): Promise<Instance> {
  const stage = await createStage([{ name: nameOf(index), module: "echo" }]);
  open.push(stage);
  const port = await freePort();
  return { stage, port, process: await stage.spawn({ PORT: String(port) }).started };
}

async function isUnready({ process }: Instance): Promise<boolean> {
  return (await process.page("/ready")).status === 503;
}

/** Asks all the time until it is stopped. */
function keepAsking(balancer: Balancer) {
  const asking = { isOver: false, answers: 0, failures: [] as string[] };
  const client = async (path: string): Promise<void> => {
    while (!asking.isOver) {
      const end = await balancer.fetch(path).then(
        ({ status }) => (status === 200 ? "" : `status ${status}`),
        (error: unknown) => String(error),
      );
      if (end === "") asking.answers++;
      else asking.failures.push(end);
      // The programs under test need the processor more than the clients.
      await Bun.sleep(5);
    }
  };
  const clients = ["/", "/status.json", "/", "/status.json"].map(client);
  const stop = async (): Promise<void> => {
    asking.isOver = true;
    await Promise.all(clients);
  };
  return { asking, stop };
}

/** Resolves when the server at `index` has not been asked while 40 others were. */
async function isLeft(balancer: Balancer, index: number): Promise<boolean> {
  const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);
  const before = await balancer.counts();
  await until(async () => sum(await balancer.counts()) - sum(before) >= 40);
  return (await balancer.counts())[index] === before[index];
}

for (const kind of [nginx, haproxy]) {
  describeLive(`three botfleets behind ${kind.name} as shipped`, [kind.program, opensslProgram], () => {
    test("a botfleet that drains and one that is not ready get no more requests, and no request fails; one that is back gets some again", async () => {
      const instances = await Promise.all([0, 1, 2].map(startInstance));
      const [draining, disabled] = instances as [Instance, Instance, Instance];
      const balancer = await kind.start(instances.map(({ port }) => port));
      open.push(balancer);
      const answeredBy = async (): Promise<string> => {
        const status = (await (await balancer.fetch("/status.json")).json()) as { bots: { name: string }[] };
        return status.bots[0]?.name ?? "";
      };
      const { asking, stop } = keepAsking(balancer);
      await until(async () => (await balancer.counts()).every((count) => count >= 20));

      // It is held up by a reply that Telegram does not answer.
      const { simulator } = draining.stage;
      const hanging = simulator.api.faults.add({ kind: "hang", method: "sendMessage" });
      simulator.api.people.person(5).say(draining.stage.botId(0), "hello");
      await until(() => hanging.struck > 0);
      draining.process.kill("SIGTERM");
      await until(() => isUnready(draining));
      await until(() => isLeft(balancer, 0));

      const [bot, { api }] = [disabled.stage.botId(0), disabled.stage.simulator];
      api.bot(bot).revoked = true;
      // Ends the poll that is waiting: the next one is refused.
      api.people.person(5).say(bot, "hello");
      await until(() => isUnready(disabled));
      await until(() => isLeft(balancer, 1));
      for (let n = 0; n < 20; n++) expect(await answeredBy()).toBe(nameOf(2));
      // It was still there.
      expect((await draining.process.page("/ready")).text).toContain("draining");
      expect(await draining.process.exited).toBe(0);

      simulator.api.faults.clear();
      draining.process = await draining.stage.spawn({ PORT: String(draining.port) }).started;
      await until(async () => (await answeredBy()) === nameOf(0), 60_000);
      await stop();
      expect(asking.failures).toEqual([]);
      expect(asking.answers).toBeGreaterThan(200);
    });
  });
}
