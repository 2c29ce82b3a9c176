/** What a person can do to Telegram: make it slow, take it down, let it refuse. */
import type { BotApi } from "../simulator/bot-api.ts";
import type { Command } from "./demo-commands.ts";

export type TroubleCommand = Extract<Command, { readonly name: "slow" | "down" | "up" | "429" }>;

const retryAfterS = 5;

export class Trouble {
  readonly #api: BotApi;
  readonly #bot: number;
  /** Telegram answers 500 to everything. */
  isDown = false;

  constructor(api: BotApi, bot: number) {
    this.#api = api;
    this.#bot = bot;
  }

  /** Returns what to say about it. */
  make(command: TroubleCommand): string {
    const [api, bot] = [this.#api, this.#bot];
    switch (command.name) {
      case "slow":
        api.delayMs = command.ms;
        return `  Telegram takes ${command.ms} ms for every answer now.`;
      case "down":
        if (!this.isDown) api.faults.add({ kind: "500", bot });
        this.isDown = true;
        return "  Telegram answers 500 to everything. Say something: it waits. /up ends it.";
      case "up":
        api.faults.clear();
        this.isDown = false;
        return "  Telegram works. After a long /down it can take botfleet 30 s to ask again.";
      case "429": {
        const fault = api.faults.add({ kind: "429", bot, method: "sendMessage", retryAfter: retryAfterS });
        api.clock.setTimer(() => fault.remove(), retryAfterS * 1_000);
        return `  For ${retryAfterS} s Telegram refuses what the bot says: 429, retry after ${retryAfterS} s.`;
      }
    }
  }

  /** How Telegram does now. */
  describe(): string {
    const how = this.isDown ? "answers 500 to everything" : "works";
    return `Telegram ${how}, ${this.#api.delayMs} ms for every answer`;
  }
}
