/**
 * Whether everything that the instances say is heard. Each numbers what it says, and says something each second, this one too: it hears
 * itself.
 *
 *     number as expected ──► all is heard
 *     a number left out, or an unknown sender that has spoken before ──► something was lost
 *     silent for seconds, without having left ──► something may be lost, and the sender is forgotten
 *     not even itself is heard ──► nothing is
 */
import type { Clock } from "../clock.ts";
import type { Message } from "./messages.ts";

export interface HearingOptions {
  readonly clock: Pick<Clock, "monotonic">;
  /** The sender that this instance is. */
  readonly own: string;
  /** Silence of a sender after which it is doubted, ms. */
  readonly silentMs: number;
  /** Senders remembered; with one more all are forgotten, and doubted. */
  readonly sendersMax: number;
}

interface Heard {
  number: number;
  at: number;
}

export class Hearing {
  readonly #options: HearingOptions;
  readonly #senders = new Map<string, Heard>();
  #heardItselfAt: number;

  constructor(options: HearingOptions) {
    this.#options = options;
    this.#heardItselfAt = options.clock.monotonic();
  }

  /** Listening begins: nobody has been silent yet, and whoever is heard first may have spoken before. */
  begin(): void {
    this.#senders.clear();
    this.#heardItselfAt = this.#options.clock.monotonic();
  }

  /** False where something said before it was not heard. */
  hears({ kind, sender, number }: Message): boolean {
    const { clock, own, sendersMax } = this.#options;
    const at = clock.monotonic();
    if (sender === own) this.#heardItselfAt = at;
    const known = this.#senders.get(sender);
    const isExpected = number <= (known?.number ?? 0) + 1;
    if (kind === "left") this.#senders.delete(sender);
    else if (known === undefined) {
      if (this.#senders.size >= sendersMax) {
        this.#senders.clear();
        return false;
      }
      this.#senders.set(sender, { number, at });
    } else {
      // One that comes late was missed before.
      known.number = Math.max(known.number, number);
      known.at = at;
    }
    return isExpected;
  }

  /** Forgets who has fallen silent, and answers whether somebody has. */
  someoneIsSilent(): boolean {
    const { clock, silentMs } = this.#options;
    const before = clock.monotonic() - silentMs;
    let isSomeone = false;
    for (const [sender, { at }] of this.#senders) {
      if (at >= before) continue;
      this.#senders.delete(sender);
      isSomeone = true;
    }
    return isSomeone;
  }

  /** Not even this instance itself is heard. */
  isDeaf(): boolean {
    const { clock, silentMs } = this.#options;
    return clock.monotonic() - this.#heardItselfAt > silentMs;
  }
}
