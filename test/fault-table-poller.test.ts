/**
 * Every fault of the simulated Bot API × every call of the poller × before and after its effect × both transports: what the operator is told,
 * what disables the bot, and that the one update that waits is handled once. See support/fault-rig.ts.
 */
import { describe, expect, test } from "bun:test";
import type { PollOutcome } from "../src/polling.ts";
import { type FaultKind, faultKinds } from "../src/simulator/faults.ts";
import { chat, FaultRig, transports } from "./support/fault-rig.ts";

const methods = ["getMe", "getUpdates", "deleteWebhook"] as const;

interface Row {
  /** As counted; undefined where it is no setback. */
  readonly poll: PollOutcome | undefined;
  /** What the log says, with the word for how bad it is in front. */
  readonly told: string;
}

const fails = (poll: PollOutcome, told: string): Row => ({ poll, told: `polling failed: ${told}` });
const needsNothing = "Bot bot-42 gets no updates just now, which needs no action unless it lasts: ";
const disables = (words: string): Row => ({
  poll: "disabled",
  told: `token refused: Telegram refuses the token of bot bot-42 (${words}). Get the valid one from @BotFather and restart.`,
});
const notTheApi = (status: number): Row =>
  fails("unavailable", `is not the Bot API's (HTTP ${status}). Check the API root and what stands in between.`);

/** Of getMe and getUpdates. 401 and 404 alone disable the bot. */
const table: Readonly<Record<FaultKind, Row>> = {
  "429": fails("flood", "Telegram asks bot bot-42 to wait 1 s (429 Too Many Requests: retry after 1)."),
  "500": fails("unavailable", `${needsNothing}500 Internal Server Error: restart`),
  "502-html": notTheApi(502),
  "401": disables("401 Unauthorized"),
  "403": fails("refused", `${needsNothing}403 Forbidden`),
  "404": disables("404 Not Found"),
  "409": fails("conflict", "Another program polls bot bot-42 with the same token (409 Conflict: terminated"),
  hang: fails("unavailable", "(deadline)."),
  reset: fails("unavailable", "(closed ECONNRESET)."),
  refused: fails("unavailable", "(unreachable ECONNREFUSED)."),
  truncated: fails("unavailable", "(closed"),
  delay: { poll: undefined, told: "" },
  empty: notTheApi(200),
  "not-json": notTheApi(200),
};
/** Whatever deleteWebhook is answered: where the webhook is still there, the next poll says so and it is deleted again. */
const webhook = fails(
  "webhook",
  "Bot bot-42 has a webhook, which is deleted now; its waiting updates are kept (409 Conflict",
);

interface Seen {
  readonly rig: FaultRig;
  readonly polls: readonly string[];
  readonly told: readonly string[];
  readonly ends: readonly string[];
}

async function play(
  method: (typeof methods)[number],
  kind: FaultKind,
  when: "before" | "after",
  transport: (typeof transports)[number],
): Promise<Seen> {
  const rig = new FaultRig();
  rig.act = (ctx) => ctx.api.sendMessage(chat, "hello");
  if (method === "deleteWebhook") await rig.world.call("setWebhook", { url: "https://shop.example/hook" });
  rig.world.say("go");
  // Over own sockets a refusal is met by whoever connects: getMe does first, a poll second.
  if (kind === "refused" && transport === "own") rig.dialsRefused.add(method === "getMe" ? 1 : 2);
  else rig.api.faults.add({ kind, when, method, times: 1 });
  await rig.start(transport, method);
  return { rig, ...(await rig.finish()) };
}

test("the table has a row for each fault that the simulator knows", () => {
  expect(Object.keys(table).toSorted()).toEqual([...faultKinds].toSorted());
});

describe.each(transports)("over %s", (transport) => {
  describe.each(methods)("%s", (method) => {
    // Over own sockets deleteWebhook finds a connection that is open: it is never refused one.
    const played =
      transport === "own" && method === "deleteWebhook" ? faultKinds.filter((kind) => kind !== "refused") : faultKinds;
    test.each(played.flatMap((kind) => [[kind, "before"] as const, [kind, "after"] as const]))(
      "struck by %s %s its effect ends as the table says",
      async (kind, when) => {
        const { rig, polls, told, ends } = await play(method, kind, when, transport);
        const { api, bot } = rig.world;
        const isDone = kind === "delay" || (when === "after" && kind !== "refused");
        const repeats = method === "deleteWebhook" && !isDone ? 2 : 1;
        const row = method === "deleteWebhook" ? webhook : table[kind];
        const setbacks = row.poll === undefined ? [] : Array<string>(repeats).fill(row.poll);
        expect(polls.toSorted()).toEqual([...setbacks, "updates"].toSorted());
        // However often the same comes, it is told once.
        expect(told).toHaveLength(row.poll === undefined ? 0 : 1);
        for (const part of row.told.split(": ")) expect(told[0] ?? "").toContain(part);
        // Handled once, although an answer that was lost brought it already.
        expect([ends, rig.effects]).toEqual([["done"], 1]);
        const isLost = method === "getUpdates" && when === "after" && kind !== "delay" && kind !== "refused";
        expect(api.journal.counts(bot)).toMatchObject({
          created: 1,
          delivered: isLost ? 2 : 1,
          confirmed: 1,
          deleted: 0,
        });
        expect(JSON.stringify(told)).not.toContain(rig.token.slice(rig.token.indexOf(":") + 1));
      },
    );
  });
});
