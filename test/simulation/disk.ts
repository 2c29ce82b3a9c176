/** The durable store of the simulation: it outlives the process, takes time, fails when told to, and tells the oracle what became durable. */
import { createInbox, type FrontOptions } from "../../src/inbox/front.ts";
import type { Inbox } from "../../src/inbox/inbox.ts";
import { createMemoryStore, emptyDurable } from "../../src/inbox/memory.ts";
import type { RunLimits } from "../../src/inbox/runs.ts";
import type { Committed, Group, InboxStore } from "../../src/inbox/store.ts";
import type { Seq } from "../../src/ids.ts";
import type { Oracle } from "./oracle.ts";
import type { Process } from "./process.ts";
import type { Scheduler } from "./scheduler.ts";

export interface SimulatedDisk {
  isFailing: boolean;
  /** Opens the store for a new life of the process, as after a crash. */
  open(process: Process): Promise<Inbox>;
}

/** `u17` of the text `u17 echo` in the JSON of an update. */
const keyForm = /"text":"(u\d+) /;

export function createSimulatedDisk(
  scheduler: Scheduler,
  oracle: Oracle,
  limits: FrontOptions["limits"] & RunLimits,
): SimulatedDisk {
  const durable = emptyDurable();
  const keys = new Map<Seq, string>();

  function learn(group: Group, { appends }: Committed): void {
    for (const { seq, sends } of group.marks) {
      const key = keys.get(seq);
      if (sends !== undefined && key !== undefined) oracle.marked(textsIn(sends));
    }
    for (const seq of group.done) oracle.settled(keyOf(seq));
    for (const { seq, error } of group.deaths) oracle.died(keyOf(seq), error);
    group.appends.forEach((append, at) => {
      const result = appends[at];
      if (result === undefined) throw new Error("an append has no result");
      const known = new Set(result.known);
      let seq = Number(result.firsts[0]);
      append.bodies.forEach((body, place) => {
        if (!known.has(place)) keys.set(seq++ as Seq, keyForm.exec(body)?.[1] ?? "");
      });
    });
  }

  function keyOf(seq: Seq): string {
    const key = keys.get(seq);
    if (key === undefined) throw new Error(`nothing is known of entry ${seq}`);
    return key;
  }

  const disk: SimulatedDisk = {
    isFailing: false,
    async open(process) {
      const now = process.clock.now();
      // Recovery kills what crashed twice while it ran alone.
      const letters = new Set(durable.letters.keys());
      const store = createMemoryStore({ durable, limits, deduplicate: true, now });
      for (const [id, letter] of durable.letters) {
        if (!letters.has(id)) oracle.died(keyForm.exec(letter.body)?.[1] ?? "", letter.error);
      }
      const faulty: InboxStore = {
        ...store,
        commit: (group) =>
          process.io(async () => {
            const fails = disk.isFailing;
            if (fails && scheduler.chance(0.5)) throw new Error("disk full");
            const committed = await store.commit(group);
            learn(group, committed);
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

/** Texts of the messages whose sends are remembered in a mark. */
function textsIn(sends: string): string[] {
  const parsed = JSON.parse(sends) as readonly { readonly result?: { readonly text?: string } }[];
  return parsed.flatMap(({ result }) => (result?.text === undefined ? [] : [result.text]));
}
