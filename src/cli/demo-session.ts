/**
 * One sitting: carries out commands and tells what comes of them. Longer than other files: each command is a few lines, and together they read
 * as what the demo can do.
 */
import { type Clock, type Random, sleep } from "../clock.ts";
import type { BotApi } from "../simulator/bot-api.ts";
import type { Command } from "./demo-commands.ts";
import { personMax } from "./demo-commands.ts";
import { type Answer, Ledger } from "./demo-ledger.ts";
import type { Paint, Screen } from "./demo-screen.ts";
import { Watch } from "./demo-watch.ts";
import { Trouble, type TroubleCommand } from "./demo-trouble.ts";
import { commandsText, countLine, figure, inboxLine, seconds, summary } from "./demo-words.ts";
import type { Worker } from "./demo-worker.ts";

export interface SessionOptions {
  readonly api: BotApi;
  readonly bot: number;
  readonly worker: Worker;
  readonly clock: Clock;
  readonly random: Random;
  readonly screen: Screen;
  readonly paint: Paint;
  /** Commands of a script wait for what they set off; a person goes on typing. */
  readonly isScript: boolean;
  /** The worker could not be started again. */
  readonly onBroken: (error: unknown) => void;
}

const crowdChats = 20;
/** The chat of the crowd that floods. */
const floodChat = 100;
const floodCount = 1_000;
/** A script goes on after `/many` when this share is answered. */
const begunShare = 0.25;
const waitMs = 5;
const waitsMax = 400;
/** A script waits so long for an answer, and for everything to settle, ms: longer than botfleet's longest back-off. */
const answerMaxMs = 40_000;
const settleMaxMs = 120_000;

export class Session {
  readonly #options: SessionOptions;
  readonly #ledger: Ledger;
  readonly #watch: Watch;
  #person = 1;
  readonly #trouble: Trouble;
  /** Deaths of the worker since everything had settled. */
  #deaths = 0;
  readonly #onAnswer = new Set<(answer: Answer) => void>();

  constructor(options: SessionOptions) {
    this.#options = options;
    const { api, bot, worker, clock, screen, paint, random } = options;
    // An inbox that was kept may still hold messages of an earlier crowd: theirs must not be taken for ours.
    const firstCrowdChat = 1_000_000 * (1 + Math.floor(random() * 1_000));
    const ledger = new Ledger({ api, bot, firstCrowdChat, onAnswer: (answer) => this.#answered(answer) });
    this.#ledger = ledger;
    this.#trouble = new Trouble(api, bot);
    this.#watch = new Watch({
      api,
      bot,
      worker,
      ledger,
      clock,
      onView: (view) => screen.keep([inboxLine(view), countLine(view)]),
      onSettled: (view, tookMs) => {
        screen.print(summary(view, tookMs, this.#deaths, paint));
        this.#deaths = 0;
      },
    });
  }

  start(): void {
    this.#options.screen.prompt(this.#prompt);
    this.#watch.start();
  }

  stop(): void {
    this.#watch.stop();
  }

  /** For a script: everything is settled. True if all of it was answered in order, or Telegram is down and it cannot be known. */
  async finish(): Promise<boolean> {
    if (this.#trouble.isDown) return true;
    const isSettled = await this.#watch.settled(settleMaxMs);
    if (!isSettled) this.#print(this.#options.paint.bad(`  Not settled within ${seconds(settleMaxMs)}.`));
    const { lost, reordered } = this.#ledger.report();
    return isSettled && lost === 0 && reordered === 0;
  }

  /** The worker ended although nobody killed it here. */
  died(pid: number, how: string, words: string): void {
    this.#deaths++;
    this.#watch.begin();
    this.#print(this.#options.paint.bad(`  Worker ${pid} ended with ${how}. ${words}`.trimEnd()));
    void this.#restart();
  }

  /** `quit` is the caller's. `line` is what was typed. */
  async run(command: Command, line: string): Promise<void> {
    // A terminal shows it by itself.
    if (this.#options.isScript) this.#print(this.#prompt + line.trim());
    switch (command.name) {
      case "say":
        return await this.#say(command.text);
      case "as":
        this.#person = command.person;
        this.#options.screen.prompt(this.#prompt);
        return this.#print(`  You are person ${command.person} now.`);
      case "many":
        return await this.#many(command.count);
      case "flood":
        return await this.#flood();
      case "kill":
        return await this.#kill();
      case "slow":
      case "down":
      case "up":
      case "429":
        return this.#disturb(command);
      case "status":
        return await this.#status();
      case "help":
        return this.#print(commandsText);
      case "wrong":
        return this.#print(`  ${command.why}`);
      case "quit":
    }
  }

  get #prompt(): string {
    return `person ${this.#person}> `;
  }

  #print(text: string): void {
    this.#options.screen.print(text);
  }

  async #say(text: string): Promise<void> {
    const { isScript } = this.#options;
    const person = this.#person;
    const answer = this.#nextAnswer(person, text);
    if (!this.#ledger.say(person, text)) return this.#dropped();
    if (!isScript) return;
    if (this.#trouble.isDown) this.#print("  No answer while Telegram is down. It waits there.");
    else if (!(await answer)) this.#print(`  No answer within ${seconds(answerMaxMs)}.`);
  }

  #nextAnswer(person: number, text: string): Promise<boolean> {
    const { isScript, clock } = this.#options;
    if (!isScript || this.#trouble.isDown) return Promise.resolve(false);
    return new Promise((resolve) => {
      const end = (answered: boolean): void => {
        timer.cancel();
        this.#onAnswer.delete(check);
        resolve(answered);
      };
      const check = (answer: Answer): void => {
        if (answer.person === person && answer.text === text && !answer.again) end(true);
      };
      const timer = clock.setTimer(() => end(false), answerMaxMs);
      this.#onAnswer.add(check);
    });
  }

  #answered(answer: Answer): void {
    const { paint } = this.#options;
    const { person, text, afterMs, again } = answer;
    const to = person === this.#person ? "" : ` to person ${person}`;
    const how = again ? "once more" : seconds(afterMs);
    this.#print(`     bot${to}> ${paint.bold(text)}  ${paint.dim(`(${how})`)}`);
    for (const check of this.#onAnswer) check(answer);
  }

  async #many(count: number): Promise<void> {
    this.#watch.begin();
    const taken = this.#ledger.crowd(count, crowdChats);
    this.#print(`  ${figure(taken)} messages at once, over ${crowdChats} chats.`);
    if (taken < count) this.#dropped();
    const openMax = this.#ledger.open - taken * begunShare;
    // So that the next command of a script, `kill` perhaps, meets them half done.
    if (this.#options.isScript && !this.#trouble.isDown) await this.#until(() => this.#ledger.open <= openMax);
    await this.#showCounts();
  }

  /** Or for about 2 s. */
  async #until(isSo: () => boolean): Promise<void> {
    for (let waits = 0; !isSo() && waits < waitsMax; waits++) await sleep(this.#options.clock, waitMs);
  }

  async #flood(): Promise<void> {
    const text = "and I say hello from another chat";
    this.#watch.begin();
    const taken = this.#ledger.crowd(floodCount, 1, floodChat);
    this.#print(`  One chat sends ${figure(taken)} messages; then person ${personMax} speaks in another one.`);
    // Who speaks stands behind them at Telegram; here it is about the lanes.
    if (!this.#trouble.isDown) await this.#until(() => this.#options.api.bot(this.#options.bot).queue.size === 0);
    const answer = this.#nextAnswer(personMax, text);
    if (!this.#ledger.say(personMax, text)) return this.#dropped();
    await answer;
    await this.#showCounts();
  }

  #dropped(): void {
    this.#print("  Telegram keeps 100,000 messages for a bot; it took no more.");
  }

  async #kill(): Promise<void> {
    const { worker, isScript } = this.#options;
    if (!worker.isUp) return this.#print("  The worker is down already; it is being started again.");
    const { pid } = worker;
    this.#deaths++;
    this.#watch.begin();
    await worker.kill();
    const { open } = this.#ledger;
    const waiting = open === 1 ? "1 message is" : `${figure(open)} messages are`;
    this.#print(`  Worker ${pid} is dead (SIGKILL). ${waiting} not answered yet.`);
    await this.#restart();
    if (isScript && !this.#trouble.isDown) await this.#watch.settled(settleMaxMs);
  }

  async #restart(): Promise<void> {
    const { worker, onBroken } = this.#options;
    try {
      await worker.start();
      if (!worker.isUp) return;
      this.#print(`  Worker ${worker.pid} runs ${seconds(worker.upMs)} later, with the same inbox.`);
    } catch (error) {
      onBroken(error);
    }
  }

  #disturb(command: TroubleCommand): void {
    if (command.name === "up") this.#watch.begin();
    this.#print(this.#trouble.make(command));
  }

  async #status(): Promise<void> {
    const { worker } = this.#options;
    const view = await this.#watch.look();
    const started = worker.starts === 1 ? "" : `, start number ${worker.starts}`;
    const up = worker.isUp ? `up ${seconds(worker.upMs)}${started}, page http://127.0.0.1:${worker.port}/` : "down";
    const about = `  worker ${worker.pid} ${up}\n  ${this.#trouble.describe()}`;
    this.#print(`${about}\n  ${inboxLine(view)}\n  ${countLine(view)}`);
  }

  /** A terminal shows them all the time. */
  async #showCounts(): Promise<void> {
    if (!this.#options.isScript) return;
    const view = await this.#watch.look();
    this.#print(`  ${inboxLine(view)}\n  ${countLine(view)}`);
  }
}
