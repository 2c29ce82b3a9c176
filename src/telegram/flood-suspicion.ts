/**
 * Tells a 429 that means the whole bot from one that means a chat. Telegram does not say which it is.
 *
 * The rule: the bot is meant where messages to `chatsForBot` different chats are refused one after another, each to a chat whose own
 * limits were unused, each but the first sent after the first refusal had come, and none accepted meanwhile.
 *
 * Why so strict: taking a chat's 429 for the bot's stops every chat, perhaps for hours; the other mistake costs one refused call in each
 * chat, which is then held back by its own `retry_after` anyway. Hence one chat, however often refused, never stops the bot; nor do chats
 * that are refused side by side while others get through; nor a method without a chat (`setMyName` may be refused for a day, alone).
 */
import type { ChatKey, FloodCall } from "./flood-call.ts";

const chatsForBot = 5;

export class Suspicion {
  private readonly chats = new Set<ChatKey>();
  /** Calls let through before the first refusal came: their answers say nothing of the time after it. */
  private passedBefore = 0;
  private earliestEnd = 0;
  private latestEnd = 0;

  /**
   * A send was refused until `until`; `passed` calls have been let through so far. Answers until when the whole bot is refused: the
   * earliest of the ends named, since what holds for all holds no longer than what each was told. Undefined where only the chat is meant.
   */
  refused(call: FloodCall, until: number, passed: number, now: number): number | undefined {
    if (!call.wasQuiet || call.chat === undefined) return undefined;
    if (this.chats.size > 0 && now >= this.latestEnd) this.chats.clear();
    if (this.chats.size === 0) {
      this.passedBefore = passed;
      this.earliestEnd = until;
      this.latestEnd = until;
    } else if (call.passed <= this.passedBefore) {
      return undefined;
    }
    this.chats.add(call.chat);
    this.earliestEnd = Math.min(this.earliestEnd, until);
    this.latestEnd = Math.max(this.latestEnd, until);
    if (this.chats.size < chatsForBot) return undefined;
    this.chats.clear();
    return this.earliestEnd;
  }

  /** A send was not refused. */
  accepted(call: FloodCall): void {
    if (this.chats.size > 0 && call.passed > this.passedBefore) this.chats.clear();
  }
}
