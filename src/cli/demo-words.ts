/** What the demo says: texts for a terminal of 80 columns. */
import type { Status } from "../ops/status.ts";
import type { OracleReport } from "../simulator/oracle.ts";
import type { Paint } from "./demo-screen.ts";
import type { Worker } from "./demo-worker.ts";

export const usage = `usage: bun run demo [flags]
A simulated Telegram and botfleet on this machine: no token, no server, no network.
  --script "A; B; C"  run these commands and quit (without a terminal: read from standard input)
  --data-dir DIR      keep the inbox there; default: a temporary folder that is removed
  --port N            port of botfleet's status page; default: any free one
  --help              this text
`;

export const commandsText = `  hello        anything you type is said to the bot, which says it back
  /as N        speak as another person, N from 1 to 999
  /many N      N messages at once, over 20 chats
  /flood       one chat sends 1,000; see that another chat does not wait for it
  kill         SIGKILL to the worker, best while messages are in flight
  /slow MS     how long Telegram takes for every answer; 50 ms at first
  /down /up    Telegram answers 500 to everything, and works again
  /429         for 5 s Telegram refuses what the bot says: "retry after 5 s"
  status       where every message is
  quit         or Ctrl-C`;

/** Said once botfleet runs. */
export function welcome(worker: Worker, isScript: boolean, paint: Paint): string {
  const page = `http://127.0.0.1:${worker.port}/`;
  const lines = [
    paint.bold("botfleet: an echo bot on a simulated Telegram, all on this machine."),
    `Worker ${worker.pid} runs after ${seconds(worker.upMs)}; its page: ${page}`,
    "Telegram takes 50 ms for every answer, as in life.",
  ];
  if (!isScript) {
    const [many, kill, help, quit] = ["/many 2000", "kill", "help", "quit"].map((word) => paint.bold(word));
    lines.push(
      `Say something. Then try ${many} and at once ${kill}: nothing is lost.`,
      `${help} lists more, ${quit} ends it.`,
    );
  }
  return `${lines.join("\n")}\n`;
}

export const noCommands = `No command came in. For example: bun run demo --script "hello; /many 2000; kill"`;

export const promise3 = `  Doubled: the worker died while these were in work, or before their end was
  written. Promise 3 allows just that: an answer may come twice, never none.`;

export const figure = (value: number): string => value.toLocaleString("en-US");

export function seconds(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** What is seen of a moment. */
export interface View {
  /** Undefined while the worker is down. */
  readonly status: Status | undefined;
  /** Updates that wait at Telegram. */
  readonly atTelegram: number;
  /** Updates that Telegram was told to forget: they are in the inbox, or were. */
  readonly confirmed: number;
  readonly report: OracleReport;
  /** Nothing waits anywhere: what is open now is lost. */
  readonly isQuiet: boolean;
}

export function inboxLine({ status, atTelegram, confirmed }: View): string {
  const waits = `Telegram ${figure(atTelegram)}`;
  if (status === undefined) return `${waits} → the worker is down; its inbox is on disk`;
  const backlog = backlogOf(status);
  const dead = status.inbox.deadLetters;
  const settled = Math.max(0, confirmed - backlog - dead);
  const way = `${waits} → backlog ${figure(backlog)} → in work ${figure(status.pipeline.inWork)}`;
  return `${way} → settled ${figure(settled)} · dead letters ${figure(dead)}`;
}

export function countLine({ report, isQuiet }: View): string {
  const { sent, answered, lost, reordered, doubled } = report;
  const open = isQuiet ? `lost ${figure(lost)}` : `on the way ${figure(lost)}`;
  const order = `out of order ${figure(reordered)} · doubled ${figure(doubled)}`;
  return `sent ${figure(sent)} · answered ${figure(answered)} · ${open} · ${order}`;
}

export function backlogOf(status: Status): number {
  return status.bots.reduce((sum, { backlog }) => sum + backlog, 0);
}

/** What is said when nothing waits any more. */
export function summary(view: View, tookMs: number, kills: number, paint: Paint): string {
  const { report } = view;
  const isRight = report.lost === 0 && report.reordered === 0;
  const lines = [
    `  Settled after ${seconds(tookMs)}.`,
    `  ${(isRight ? paint.good : paint.bad)(countLine({ ...view, isQuiet: true }))}`,
  ];
  if (report.doubled > 0 && kills > 0) lines.push(promise3);
  if (!isRight) lines.push(...report.examples.map((example) => `  ${example}`));
  return lines.join("\n");
}
