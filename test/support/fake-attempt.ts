/** An attempt outside of any pipeline: its effects run at once, and it remembers none. */
import type { Attempt } from "../../src/attempts.ts";
import { toLaneKey, toSeq } from "../../src/ids.ts";

/** Of the update with this seq in partition 0, lane 1. `changes` win. */
export function fakeAttempt(seq: number, changes: Partial<Attempt> & Pick<Attempt, "bot">): Attempt {
  let calls = 0;
  const { signal } = new AbortController();
  return {
    partition: 0,
    seq: toSeq(seq),
    updateId: seq,
    lane: toLaneKey(1),
    number: 0,
    mayRepeat: false,
    receivedAt: 0,
    revoked: false,
    isOver: false,
    mayAct: () => true,
    effect: (run) => run(),
    send: (_method, _payload, run) => run(calls++),
    pause: () => {},
    resume: () => {},
    signal,
    waitSignal: signal,
    ...changes,
  };
}
