/**
 * One instance's link to the server of the second tier: whether it can be asked, whether what it holds can be believed, what has been
 * told to it, what is heard from the other instances.
 *
 *     each second a beat ──► the generation ──► what is owed is paid ──► the breaker closes
 *     told ──► written and published in one step
 *         └──► failed, or the breaker is open ──► owed
 *
 * Longer than 150 lines: what is believed depends on all of these at once.
 */
import type { Clock, Timer } from "../clock.ts";
import { Breaker, type BreakerState } from "./breaker.ts";
import { Debts } from "./debts.ts";
import { Hearing } from "./hearing.ts";
import { beatText, changedText, leftText, readMessage, type Message } from "./messages.ts";
import type { CacheServer, Change, Key } from "./server.ts";
import { Telling } from "./telling.ts";

export interface LinkOptions {
  readonly server: CacheServer;
  readonly clock: Clock;
  /** Lower-case letters and digits, never used before. */
  readonly newName: () => string;
  /** The sender that this instance is, a new name; its earlier lives that are not known to have left. */
  readonly sender: string;
  readonly dead: readonly string[];
  readonly limits: LinkLimits;
  readonly events: LinkEvents;
}

export interface LinkLimits {
  /** Time between two beats, ms. */
  readonly beatMs: number;
  /** Silence after which nothing is believed any more, ms. */
  readonly silentMs: number;
  /** Failures in a row that open the breaker. */
  readonly failuresMax: number;
  /** Documents owed that are remembered one by one. */
  readonly debtsMax: number;
  /** Documents in one call. */
  readonly groupMax: number;
  /** Other instances remembered. */
  readonly sendersMax: number;
}

export interface LinkEvents {
  /** A document has another version now; 0: not known which. */
  readonly onChanged: (key: Key, version: number) => void;
  /** Some of what was said may not have been heard: what the first tier holds may be old. */
  readonly onDoubt: () => void;
  readonly onState: (state: BreakerState, error: unknown) => void;
  /** The server knows of this sender, and that the dead ones are dead. */
  readonly onKnown: () => void;
}

/** Counts since the start. */
export interface LinkStats {
  /** Calls to the server that failed. */
  readonly failures: number;
  /** Times that something said may not have been heard. */
  readonly doubts: number;
  /** Documents whose change the server has not been told. */
  readonly owed: number;
  readonly breaker: BreakerState;
}

export class Link {
  readonly #options: LinkOptions;
  readonly #sender: string;
  readonly #hearing: Hearing;
  readonly #debts: Debts;
  readonly #breaker: Breaker;
  readonly #telling: Telling;
  readonly #flying = new Set<Promise<unknown>>();
  /** Of the last message; they go out in this order. */
  #number = 0;
  /** Until the server has been told. */
  #dead: readonly string[];
  #isKnown = false;
  #generation = "";
  #beatenAt = -Infinity;
  #beating: Promise<void> | undefined;
  #beatAgain = false;
  #timer: Timer | undefined;
  #doubts = 0;

  constructor(options: LinkOptions) {
    const { clock, limits, sender } = options;
    this.#options = options;
    this.#sender = sender;
    this.#dead = options.dead;
    this.#hearing = new Hearing({ clock, own: this.#sender, ...limits });
    this.#debts = new Debts(limits.debtsMax);
    this.#breaker = new Breaker({ ...limits, onState: options.events.onState });
    this.#telling = new Telling({
      publish: (changes) => this.#publish(changes),
      isOff: () => this.#breaker.state === "open",
      debts: this.#debts,
      groupMax: limits.groupMax,
    });
  }

  /** As known here; "" where there is none. */
  get generation(): string {
    return this.#generation;
  }

  /** Whether what the server holds can be believed at all. */
  get isBelieved(): boolean {
    return this.#breaker.state === "closed" && this.#generation !== "" && this.#isBeating();
  }

  /** Begins to beat and to listen. */
  start(): void {
    this.#options.server.listen({
      onListening: () => {
        this.#hearing.begin();
        this.#doubt();
      },
      onInterrupted: () => {
        // Believed again after the next beat, which finds out.
        this.#generation = "";
        if (this.#timer !== undefined) void this.#beat();
      },
      onMessage: (text) => this.#onMessage(readMessage(text)),
    });
    this.#tick();
  }

  get owesAny(): boolean {
    return !this.#debts.isEmpty || this.#telling.isTelling;
  }

  /** The server may hold something old under this key. */
  owes(key: Key): boolean {
    return this.#debts.has(key) || this.#telling.tells(key);
  }

  /** Undefined where the call failed, or the breaker is open. Never rejects. */
  async ask<T>(call: () => Promise<T>): Promise<T | undefined> {
    if (this.#breaker.state === "open") return undefined;
    // Counted by `counted`, once for all who asked together.
    return call().catch(() => undefined);
  }

  /** Every call to the server goes through here. */
  counted<T>(call: () => Promise<T>): Promise<T> {
    return this.#breaker.counted(call);
  }

  /** Brings it to the server and to the other instances, at once or as soon as that is possible. */
  tell(changes: readonly Change[]): void {
    this.#telling.tell(changes);
  }

  /** Resolves when what was told so far is there, or owed. Never rejects. */
  told(): Promise<void> {
    return this.#telling.ended();
  }

  /** Waited for before the end. */
  fly(flight: Promise<unknown>): void {
    const flying = flight.finally(() => this.#flying.delete(flying));
    this.#flying.add(flying);
  }

  /** The generation that somebody told of: where it is another one, it is asked for. Only the answers to beats come in the order in which it changes. */
  hears(generation: string): void {
    if (generation !== this.#generation) void this.#beat();
  }

  stats(): LinkStats {
    return {
      failures: this.#breaker.failures,
      doubts: this.#doubts,
      owed: this.#debts.size,
      breaker: this.#breaker.state,
    };
  }

  /** Says goodbye, unless something is owed. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    await this.#beating;
    await Promise.all([this.#telling.ended(), ...this.#flying]);
    const { server } = this.#options;
    // Whoever owes leaves in silence: then the others believe nothing of what stands there.
    if (this.#breaker.state === "closed" && (await this.#payDebts())) {
      await this.ask(() => this.counted(() => server.leave(this.#sender, leftText(this.#sender, ++this.#number))));
    }
    await server.stop();
  }

  #isBeating(): boolean {
    return this.#options.clock.monotonic() - this.#beatenAt <= this.#options.limits.silentMs;
  }

  async #publish(changes: readonly Change[]): Promise<void> {
    const told = changes.map(({ key, version }) => [key, version] as const);
    const text = changedText(this.#sender, ++this.#number, told);
    await this.counted(() => this.#options.server.write(changes, text));
  }

  #tick(): void {
    const { clock, limits } = this.#options;
    this.#timer = clock.setTimer(() => this.#tick(), limits.beatMs);
    void this.#beat();
    this.#listenForSilence();
  }

  #listenForSilence(): void {
    // Where the server does not answer there is nothing to check against: that is done when it is back.
    if (!this.isBelieved) return;
    if (this.#hearing.isDeaf()) {
      this.#doubt();
      this.#options.server.relisten();
    } else if (this.#hearing.someoneIsSilent()) this.#doubt();
  }

  /** One at a time; who asks meanwhile gets another one behind it. Never rejects. */
  #beat(): Promise<void> {
    if (this.#beating !== undefined) {
      this.#beatAgain = true;
      return this.#beating;
    }
    this.#beating = this.#beatOnce()
      // Counted.
      .catch(() => {})
      .finally(() => {
        this.#beating = undefined;
        if (!this.#beatAgain || this.#timer === undefined) return;
        this.#beatAgain = false;
        void this.#beat();
      });
    return this.#beating;
  }

  async #beatOnce(): Promise<void> {
    const { server, clock, newName } = this.#options;
    const { overflow } = this.#debts;
    const candidate = newName();
    const beat = {
      sender: this.#sender,
      message: beatText(this.#sender, ++this.#number),
      candidate,
      replaces: overflow === 0 ? undefined : this.#generation,
      dead: this.#dead,
    };
    const generation = await this.counted(() => server.beat(beat));
    this.#dead = [];
    if (!this.#isKnown && generation !== "") {
      this.#isKnown = true;
      this.#options.events.onKnown();
    }
    // One that somebody else has made may be older than the debt.
    if (overflow !== 0 && generation === candidate) this.#debts.payOverflow(overflow);
    const wasAway = !this.#isBeating();
    const isNew = generation !== this.#generation;
    this.#beatenAt = clock.monotonic();
    this.#generation = generation;
    if (wasAway) this.#hearing.begin();
    if (isNew || wasAway) this.#doubt();
    if (!(await this.#payDebts()) || this.#breaker.state === "closed") return;
    this.#breaker.close();
    // What the others said meanwhile may not have been heard.
    this.#doubt();
  }

  /** Whether nothing is owed now. */
  async #payDebts(): Promise<boolean> {
    while (!this.#debts.isEmpty) {
      const owed = this.#debts.some(this.#options.limits.groupMax);
      if (owed.length === 0) return false;
      try {
        await this.#publish(owed.map(([key]) => ({ key, version: 0, row: "" })));
      } catch {
        return false; // Counted.
      }
      this.#debts.pay(owed);
    }
    return true;
  }

  #onMessage(message: Message | undefined): void {
    if (message === undefined) return;
    if (!this.#hearing.hears(message)) this.#doubt();
    switch (message.kind) {
      case "changed":
        for (const [key, version] of message.changed) this.#options.events.onChanged(key, version);
        return;
      case "beat":
        if (message.sender !== this.#sender) this.hears(message.generation);
        return;
      case "left":
        return;
    }
  }

  #doubt(): void {
    this.#doubts++;
    this.#options.events.onDoubt();
  }
}
