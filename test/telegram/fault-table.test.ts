/** Every fault of the simulated Bot API × every call of a handler × before and after its effect × both transports; see fault-rig.ts. */
import { describe, expect, test } from "bun:test";
import { faultKinds } from "../../src/simulator/faults.ts";
import { FaultRig, handlerMethods, prepare, transports } from "../support/fault-rig.ts";
import { kindsInTable, rowOf } from "../support/fault-table.ts";

test("the table has a row for each fault that the simulator knows", () => {
  expect(kindsInTable.toSorted()).toEqual([...faultKinds].toSorted());
});

describe.each(transports)("over %s", (transport) => {
  describe.each(handlerMethods)("%s", (method) => {
    test.each(faultKinds.flatMap((kind) => [[kind, "before"] as const, [kind, "after"] as const]))(
      "struck by %s %s its effect ends as the table says",
      async (kind, when) => {
        const rig = new FaultRig();
        rig.act = await prepare(rig, method);
        await rig.start(transport, method);
        await rig.clock.advance(1_000);
        rig.strike({ kind, when, method }, transport);
        rig.world.say("go");
        const seen = await rig.finish();
        const { told, ...row } = rowOf(method, kind, when);
        expect({
          client: words(seen.client),
          handler: words(seen.saw),
          lane: words(seen.ends),
          effects: rig.effects,
        }).toEqual(row);
        // Each attempt that is not `done` is told once, the first with these words; the bot goes on polling all the while.
        const setbacks = seen.ends.filter((end) => end !== "done");
        expect(seen.told.map((line) => line.slice(0, line.indexOf(":")))).toEqual(setbacks);
        expect(seen.told[0] ?? "").toContain(told);
        expect([seen.polls, seen.letters]).toEqual([["updates"], row.lane.endsWith("dead") ? 1 : 0]);
        expect(JSON.stringify(seen)).not.toContain(rig.token.slice(rig.token.indexOf(":") + 1));
      },
    );
  });
});

/** As the rows of the table are written. */
function words(list: readonly string[]): string {
  const runs: { word: string; times: number }[] = [];
  for (const word of list) {
    const last = runs.at(-1);
    if (last?.word === word) last.times++;
    else runs.push({ word, times: 1 });
  }
  return runs.map(({ word, times }) => (times === 1 ? word : `${word} ×${times}`)).join(", ");
}
