/** The durable store of the simulation: it outlives the process, takes time, fails when told to, and tells the oracle what became durable. */
import { createInbox, type FrontOptions } from "../../src/inbox/front.ts";
import type { Inbox } from "../../src/inbox/inbox.ts";
import { createMemoryStore, emptyDurable } from "../../src/inbox/memory.ts";
import type { RunLimits } from "../../src/inbox/runs.ts";
import type { InboxStore } from "../../src/inbox/store.ts";
import { keyIn, Ledger } from "./ledger.ts";
import type { Oracle } from "./oracle.ts";
import type { Process } from "./process.ts";
import type { Scheduler } from "./scheduler.ts";

export interface SimulatedDisk {
  isFailing: boolean;
  /** Opens the store for a new life of the process, as after a crash. */
  open(process: Process): Promise<Inbox>;
}

export function createSimulatedDisk(
  scheduler: Scheduler,
  oracle: Oracle,
  limits: FrontOptions["limits"] & RunLimits,
): SimulatedDisk {
  const durable = emptyDurable();
  const ledger = new Ledger(oracle, 1);

  const disk: SimulatedDisk = {
    isFailing: false,
    async open(process) {
      const now = process.clock.now();
      // Recovery kills what crashed twice while it ran alone.
      const letters = new Set(durable.letters.keys());
      const store = createMemoryStore({ durable, limits, deduplicate: true, now });
      for (const [id, letter] of durable.letters) {
        if (!letters.has(id)) oracle.died(keyIn(letter.body), letter.error);
      }
      const faulty: InboxStore = {
        ...store,
        commit: (group) =>
          process.io(async () => {
            const fails = disk.isFailing;
            if (fails && scheduler.chance(0.5)) throw new Error("disk full");
            const committed = await store.commit(group);
            ledger.learn(group, committed);
            if (fails) throw new Error("the answer of the disk was lost");
            return committed;
          }),
        bodies: (seqs) => process.io(() => store.bodies(seqs)),
        unsettled: (after, max, partition) => process.io(() => store.unsettled(after, max, partition)),
      };
      await process.step();
      return createInbox({ store: faulty, clock: process.clock, limits });
    },
  };
  return disk;
}
