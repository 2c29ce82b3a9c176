/**
 * Bugs that are easy to write and hard to see, planted around the real parts: the simulation is worth something only if it catches
 * each of them.
 */
import type { Attempt, AttemptScope } from "../../src/attempts.ts";
import type { Entry, Inbox, Partition } from "../../src/inbox/inbox.ts";
import type { Plant } from "./world.ts";

export const plants: Readonly<Record<string, Plant>> = {
  "the offset moves before the append is durable": {
    inbox: (inbox) => ({
      ...forward(inbox),
      append(claim, updates) {
        // Told as stored at once; what becomes of the append is nobody's business.
        inbox.append(claim, updates).catch(() => {});
        return Promise.resolve({ stored: updates.length, known: 0, malformed: 0 });
      },
    }),
  },
  "an update is settled before what its handler does is done": { settlesBeforeItIsDone: true },
  "runs of update ids are pruned by count": { limits: { runKeepIds: 2 } },
  "an entry overtakes those that were spilled to the disk": {
    inbox: (inbox) => ({
      ...forward(inbox),
      open: async (claim) => {
        const partition = await inbox.open(claim);
        let spilled: readonly Entry[] = [];
        return {
          ...forwardPartition(partition),
          async next(max) {
            const entries = [...spilled, ...(await partition.next(max))];
            spilled = [];
            if (entries.length < 4) return entries;
            // The oldest are "on disk" and read back with the next batch.
            spilled = entries.slice(0, 2);
            return entries.slice(2);
          },
        };
      },
    }),
  },
  "an attempt that was given up goes on": {
    scope: (scope) => ({
      current: () => scope.current(),
      run: (attempt, work) => scope.run(unrevocable(attempt), work),
    }),
  },
};

function unrevocable(attempt: Attempt): Attempt {
  return new Proxy(attempt, {
    get(target, name) {
      if (name === "revoked") return false;
      if (name === "effect") return (run: () => Promise<unknown>) => (target.revoked ? run() : target.effect(run));
      if (name === "send") {
        return (method: string, payload: string, run: () => Promise<{ ok: boolean }>) =>
          target.revoked ? run() : target.send(method, payload, run);
      }
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** Methods of the port bound to `inbox`, to be replaced one by one. */
function forward(inbox: Inbox): Inbox {
  return {
    append: (claim, updates) => inbox.append(claim, updates),
    open: (claim) => inbox.open(claim),
    partitions: inbox.partitions,
    settledBelow: (partition) => inbox.settledBelow(partition),
    unsettled: (seqs) => inbox.unsettled(seqs),
    deadLetters: inbox.deadLetters,
    backlog: () => inbox.backlog(),
    lastBacklog: () => inbox.lastBacklog(),
    state: () => inbox.state(),
    onState: (changed) => inbox.onState(changed),
    stop: () => inbox.stop(),
  };
}

function forwardPartition(partition: Partition): Partition {
  return {
    number: partition.number,
    next: (max) => partition.next(max),
    bodies: (seqs) => partition.bodies(seqs),
    mark: (marks) => partition.mark(marks),
    settle: (seq, outcome) => partition.settle(seq, outcome),
    settledBelow: () => partition.settledBelow(),
    isBehind: () => partition.isBehind(),
    close: () => partition.close(),
  };
}

/** Attempts whose effects begin whether their claim holds or not. */
export function unclaimed(scope: AttemptScope): AttemptScope {
  return {
    current: () => scope.current(),
    run: (attempt, work) =>
      scope.run(
        new Proxy(attempt, {
          get(target, name) {
            if (name === "mayAct") return () => !target.revoked;
            const isBare = !target.revoked && !target.mayAct();
            if (name === "effect" && isBare) return (run: () => Promise<unknown>) => run();
            if (name === "send" && isBare) return (_: string, __: unknown, run: () => Promise<unknown>) => run();
            const value: unknown = Reflect.get(target, name);
            return typeof value === "function" ? value.bind(target) : value;
          },
        }),
        work,
      ),
  };
}
