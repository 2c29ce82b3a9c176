/** What the journal writes down of updates and calls. */

/** One update from its creation to its end. */
export interface UpdateEntry {
  readonly type: "update";
  readonly bot: number;
  /** 0 where the update belongs to no chat. */
  readonly chat: number;
  /** Its place in the numbering of the bot; -1 where it was dropped or filtered. */
  updateId: number;
  readonly kind: string;
  readonly text: string | undefined;
  /** Wall-clock ms. */
  readonly at: number;
  /** Answers to getUpdates that held it. */
  delivered: number;
  /**
   * `dropped` the queue was full · `filtered` `allowed_updates` leaves its kind out · `deleted` by a negative offset or
   * `drop_pending_updates`.
   */
  state: "queued" | "confirmed" | "expired" | "deleted" | "dropped" | "filtered";
}

/** One call that puts something into a chat (`send...`, `editMessageText`, `deleteMessage`, ...), in the order of arrival. */
export interface SendEntry {
  readonly type: "send";
  readonly bot: number;
  readonly chat: number;
  readonly method: string;
  /** Text or caption. */
  readonly text: string;
  readonly at: number;
  /** It took effect: the person sees it. */
  readonly effect: boolean;
  /** What went back: the HTTP status, or how no answer came. */
  readonly outcome: number | "hang" | "reset" | "truncated" | "refused";
}

/** One getUpdates from its beginning to its end. Told to listeners, never kept. */
export interface PollEntry {
  readonly bot: number;
  /** Who asked: what stood before `/bot` in the path, such as `/a` for a caller whose API root ends in it; "" for the plain one. */
  readonly from: string;
  /** Wall-clock ms. */
  readonly at: number;
  readonly endedAt: number;
  /** `conflict`: another poll, or a webhook, ended it while it waited · `left`: its caller gave up or is gone. */
  readonly end: "answered" | "conflict" | "left";
}

export type JournalEntry = UpdateEntry | SendEntry;

/** Running totals of a chat, a bot or the whole simulator. */
export interface Counts {
  /** Updates that entered the queue. */
  created: number;
  /** Deliveries, repeats included. */
  delivered: number;
  /** Deliveries of an update that had been delivered before. */
  repeated: number;
  confirmed: number;
  expired: number;
  deleted: number;
  dropped: number;
  filtered: number;
  /** Calls that put something into a chat. */
  sends: number;
  /** Those that took effect. */
  sendEffects: number;
  /** Those answered with `ok: true`. */
  sendsOk: number;
}

export function zero(): Counts {
  return {
    created: 0,
    delivered: 0,
    repeated: 0,
    confirmed: 0,
    expired: 0,
    deleted: 0,
    dropped: 0,
    filtered: 0,
    sends: 0,
    sendEffects: 0,
    sendsOk: 0,
  };
}
