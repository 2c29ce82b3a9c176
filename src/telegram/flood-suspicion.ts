/**
 * Tells a 429 that means the whole bot from one that means a chat. Telegram does not say which it is.
 *
 * The rule: the bot is meant where, twice in a row, within a second or more, messages to at least `chatsForBot` different chats whose own
 * limits were unused were refused, and more of them than were accepted. Only those count that were sent after the first refusal came.
 *
 * Why so strict: taking chats' 429s for the bot's stops every chat, perhaps for hours; the other mistake costs one refused call in each
 * chat, which is then held back by its own `retry_after` anyway. Hence one chat, however often refused, never stops the bot; nor do many
 * that are refused at once (they are silent in the second after it) or while others get through; nor does a method without a chat
 * (`setMyName` may be refused for a day, alone).
 */
import type { ChatKey, FloodCall } from "./flood-call.ts";

const chatsForBot = 5;
const windowMs = 1_000;

export class Suspicion {
  /** Refused in this window. Empty also where there is no suspicion. */
  private readonly chats = new Set<ChatKey>();
  private isOn = false;
  private isSecond = false;
  private windowEnd = 0;
  private refusals = 0;
  private acceptances = 0;
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
    if (this.isOn && now < this.latestEnd) {
      if (call.passed <= this.passedBefore) return undefined;
      this.turnWindow(call.passedAt);
    } else {
      this.isOn = false;
    }
    if (!this.isOn) this.begin(passed, now);
    this.chats.add(call.chat);
    this.refusals++;
    this.earliestEnd = Math.min(this.earliestEnd, until);
    this.latestEnd = Math.max(this.latestEnd, until);
    if (!this.isSecond || this.chats.size < chatsForBot || this.refusals <= this.acceptances) return undefined;
    this.isOn = false;
    return this.earliestEnd;
  }

  /** A send was not refused. */
  accepted(call: FloodCall): void {
    if (!this.isOn || call.passed <= this.passedBefore) return;
    this.turnWindow(call.passedAt);
    this.acceptances++;
  }

  private begin(passed: number, now: number): void {
    this.isOn = true;
    this.isSecond = false;
    this.passedBefore = passed;
    this.earliestEnd = Infinity;
    this.latestEnd = 0;
    this.openWindow(now);
  }

  private openWindow(now: number): void {
    this.chats.clear();
    this.refusals = 0;
    this.acceptances = 0;
    this.windowEnd = now + windowMs;
  }

  /** Where a window is over, the next one opens or the suspicion ends. A window lasts until enough chats have told something. */
  private turnWindow(now: number): void {
    if (now < this.windowEnd) return;
    if (this.refusals <= this.acceptances) this.isOn = false;
    else if (this.chats.size >= chatsForBot) {
      this.isSecond = true;
      this.openWindow(now);
    }
  }
}
