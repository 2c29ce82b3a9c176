/** The work on partitions as claims on them come, lapse, go and come again. */
import { expect, test } from "bun:test";
import { Fault } from "../src/faults.ts";
import { createPartitionTenures, type PartitionTenures } from "../src/fleet-partitions.ts";
import type { Partition } from "../src/inbox/inbox.ts";
import type { PartitionClaim, Tenure } from "../src/leases/leases.ts";
import type { Log } from "../src/log.ts";
import type { PartitionWork } from "../src/pipeline-options.ts";
import { FakeClock, settled } from "./support/fake-clock.ts";

class World {
  /** What happened, in order. */
  readonly told: string[] = [];
  readonly state = { isValid: true, isLost: false };
  readonly tenures: PartitionTenures;
  readonly clock = new FakeClock();
  /** Ends the work that was begun last, as a fence does. */
  fence: () => Promise<void> = async () => {};
  opening = (): Promise<void> => Promise.resolve();
  inWork: Promise<void> = Promise.resolve();
  closing = (): Promise<void> => Promise.resolve();

  constructor() {
    const log: Log = {
      debug() {},
      info() {},
      warn: (message) => void this.told.push(`warn: ${message}`),
      error() {},
      child: () => log,
    };
    this.tenures = createPartitionTenures({
      inbox: {
        open: async ({ partition, token }) => {
          this.told.push(`open ${partition} ${token}`);
          await this.opening();
          return { close: () => this.close(token) } as unknown as Partition;
        },
      },
      pipeline: { open: (_, { claim, name }) => this.work(claim, name) },
      leases: { doubt: () => void this.told.push("doubt") },
      nameOf: (partition) => 500 + partition,
      clock: this.clock,
      random: () => 0.5,
      limits: { retryFirstMs: 600, retryCapMs: 30_000 },
      beforeGivenBack: async () => void this.told.push("told the others"),
      log,
    });
  }

  take(token: string): Tenure {
    const { state } = this;
    const claim: PartitionClaim = {
      partition: 3,
      token,
      valid: () => state.isValid && !state.isLost,
      lost: () => state.isLost,
    };
    return this.tenures.take(claim);
  }

  private async close(token: string): Promise<void> {
    this.told.push(`close ${token}`);
    await this.closing();
  }

  private work(claim: PartitionClaim, name: number | undefined): PartitionWork {
    const { token } = claim;
    this.told.push(`work ${token} as ${name}`);
    const { promise, resolve } = Promise.withResolvers<void>();
    let hasEnded = false;
    const end = async (): Promise<void> => {
      if (hasEnded) return;
      hasEnded = true;
      await this.inWork;
      this.told.push(`over ${token}`);
      resolve();
    };
    this.fence = end;
    return {
      changed: () => {
        if (claim.lost()) void end();
      },
      giveBack: () => {
        void end();
        return promise;
      },
      over: promise,
    };
  }
}

test("a partition that is claimed is opened and worked on under its name; released, it is closed when its work is over", async () => {
  const world = new World();
  const gate = Promise.withResolvers<void>();
  world.inWork = gate.promise;
  const tenure = world.take("a");
  expect(world.tenures.isOpening()).toBe(true);
  await settled();
  expect(world.tenures.isOpening()).toBe(false);
  let isFree = false;
  void tenure.release().then(() => (isFree = true));
  await settled();
  expect([world.told, isFree]).toEqual([["open 3 a", "work a as 503"], false]);
  gate.resolve();
  await settled();
  expect(world.told.slice(2)).toEqual(["over a", "told the others", "close a"]);
  expect(isFree).toBe(true);
});

test("a claim that comes again waits for what is left of the work under the one before", async () => {
  const world = new World();
  const gate = Promise.withResolvers<void>();
  world.inWork = gate.promise;
  const tenure = world.take("a");
  await settled();
  world.state.isLost = true;
  tenure.changed();
  await settled();
  world.state.isLost = false;
  world.take("b");
  await settled();
  expect(world.told.filter((line) => line.startsWith("open"))).toEqual(["open 3 a"]);
  gate.resolve();
  await settled();
  expect(world.told).toContain("work b as 503");
});

test("one that is lost is closed at once, and its end told to nobody", async () => {
  const world = new World();
  const tenure = world.take("a");
  await settled();
  world.state.isLost = true;
  tenure.changed();
  await settled();
  expect(world.told).toEqual([
    "open 3 a",
    "work a as 503",
    "warn: another instance has the partition now",
    "over a",
    "close a",
  ]);
});

test("one that is released before it was opened is never worked on", async () => {
  const world = new World();
  const opened = Promise.withResolvers<void>();
  world.opening = () => opened.promise;
  const tenure = world.take("a");
  await settled();
  const released = tenure.release();
  opened.resolve();
  await released;
  expect(world.told).toEqual(["open 3 a", "close a"]);
});

test("where the inbox knows another owner the leases are asked; where a clean end cannot be written it is said, and released all the same", async () => {
  const world = new World();
  world.opening = () => Promise.reject(new Fault("inbox_fenced", "taken over"));
  const fenced = world.take("a");
  await settled();
  await fenced.release();
  expect(world.told).toContain("doubt");
  const other = new World();
  const tenure = other.take("a");
  await settled();
  other.closing = () => Promise.reject(new Fault("unavailable", "no connection"));
  await tenure.release();
  expect(other.told.at(-1)).toContain("warn: a partition was not given back in order");
});

test("where a write is fenced and the leases know that the claim holds, the partition is opened again after a while", async () => {
  const world = new World();
  const tenure = world.take("a");
  await settled();
  await world.fence();
  await settled();
  expect(world.told.slice(2)).toEqual(["over a", "told the others", "close a", "doubt"]);
  expect(world.tenures.isOpening()).toBe(true);
  await world.clock.advance(600);
  expect(world.told.slice(-2)).toEqual(["open 3 a", "work a as 503"]);
  expect(world.tenures.isOpening()).toBe(false);
  await tenure.release();
  expect(world.told.at(-1)).toBe("close a");
  expect(world.clock.pending()).toBe(0);
});

test("one that cannot be opened because of a fence is tried again, more and more seldom, until the claim is lost", async () => {
  const world = new World();
  const opens = (): number => world.told.filter((line) => line.startsWith("open")).length;
  world.opening = () => Promise.reject(new Fault("inbox_fenced", "taken over"));
  const tenure = world.take("a");
  await world.clock.advance(600 + 1_200);
  expect(opens()).toBe(3);
  await world.clock.advance(2_399);
  expect(opens()).toBe(3);
  world.state.isLost = true;
  tenure.changed();
  await settled();
  expect([world.clock.pending(), world.tenures.isOpening()]).toEqual([0, false]);
});
