/**
 * The claims of one instance. They are good for `giveUpMs` after a renewal that was confirmed was sent, shorter than the store keeps them:
 *
 *     held ─► lapsed (by the clock, told by a timer) ─► held: the token still stands there, nobody else had it
 *                                                   └─► lost: another one stands there
 *     held or lapsed ─► releasing ─► given up: its token is never used again
 */
import type { Clock, Timer } from "../clock.ts";
import { toBotId } from "../ids.ts";
import type { Claim, Holder, Tenure } from "./leases.ts";
import type { ClaimName } from "./store.ts";

export interface HoldingsOptions {
  readonly holder: Holder;
  readonly clock: Clock;
  readonly giveUpMs: number;
  /** Claims that were held have lapsed. */
  readonly onLapsed: () => void;
}

export interface Holding {
  readonly name: ClaimName;
  readonly token: string;
  readonly isReleasing: boolean;
}

export class Holdings {
  readonly #options: HoldingsOptions;
  /** In the order in which they were got. */
  readonly #held = new Map<ClaimName, HeldClaim>();
  /** When the last renewal that was confirmed was sent, monotonic ms. */
  #confirmedAtMs = -Infinity;
  #timer: Timer | undefined;

  constructor(options: HoldingsOptions) {
    this.#options = options;
  }

  get confirmedAtMs(): number {
    return this.#confirmedAtMs;
  }

  /** Whether claims that are not lost are valid. */
  isConfirmed(): boolean {
    return this.#options.clock.monotonic() < this.#confirmedAtMs + this.#options.giveUpMs;
  }

  all(): readonly Holding[] {
    return [...this.#held.values()];
  }

  /** A renewal was confirmed that was sent at `sentAtMs`. `claims`: all that stand there; undefined where none has changed. Answers how many are lost. */
  confirm(sentAtMs: number, claims: ReadonlyMap<string, string> | undefined): number {
    let lost = 0;
    if (claims !== undefined) {
      for (const [name, held] of this.#held) {
        if (claims.get(name) === held.token) continue;
        held.isLost = true;
        this.#held.delete(name);
        lost++;
        held.tell();
      }
    }
    // Who asked meanwhile has seen the lapse, also where its timer is late after a pause: untold, nobody would learn that it is over.
    if (!this.isConfirmed()) this.#tellLapse();
    this.#confirmedAtMs = sentAtMs;
    this.#timer?.cancel();
    const { clock, giveUpMs } = this.#options;
    this.#timer = clock.setTimer(() => this.#lapse(), sentAtMs + giveUpMs - clock.monotonic());
    for (const held of this.#held.values()) held.tell();
    return lost;
  }

  add(name: ClaimName, token: string): void {
    const held = new HeldClaim(name, token, () => this.isConfirmed());
    this.#held.set(name, held);
    held.begin(this.#options.holder);
  }

  /** Resolves when nothing is done under it any more: true where it may be given back, false where it was lost meanwhile. */
  async release(name: ClaimName): Promise<boolean> {
    const held = this.#held.get(name);
    if (held === undefined) return false;
    await held.release();
    if (held.isLost) return false;
    held.isLost = true;
    this.#held.delete(name);
    return true;
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #lapse(): void {
    // A timer may be early by a fraction of a millisecond.
    const { clock, giveUpMs } = this.#options;
    if (this.isConfirmed()) {
      this.#timer = clock.setTimer(
        () => this.#lapse(),
        Math.max(1, this.#confirmedAtMs + giveUpMs - clock.monotonic()),
      );
      return;
    }
    this.#tellLapse();
  }

  /** Once. */
  #tellLapse(): void {
    const valid = [...this.#held.values()].filter(({ told }) => told === "valid");
    if (valid.length > 0) this.#options.onLapsed();
    for (const held of valid) held.tell();
  }
}

type Told = "valid" | "lapsed" | "lost";

class HeldClaim implements Claim, Holding {
  readonly name: ClaimName;
  readonly token: string;
  isLost = false;
  told: Told = "valid";
  readonly #isConfirmed: () => boolean;
  #tenure: Tenure | undefined;
  #released: Promise<void> | undefined;

  constructor(name: ClaimName, token: string, isConfirmed: () => boolean) {
    this.name = name;
    this.token = token;
    this.#isConfirmed = isConfirmed;
  }

  get isReleasing(): boolean {
    return this.#released !== undefined;
  }

  valid = (): boolean => !this.isLost && this.#isConfirmed();

  lost = (): boolean => this.isLost;

  begin(holder: Holder): void {
    const { token, valid, lost } = this;
    const number = Number(this.name.slice(1));
    this.#tenure = this.name.startsWith("b")
      ? holder.bot({ bot: toBotId(number), token, valid, lost })
      : holder.partition({ partition: number, token, valid, lost });
  }

  tell(): void {
    const state: Told = this.isLost ? "lost" : this.#isConfirmed() ? "valid" : "lapsed";
    if (state === this.told) return;
    this.told = state;
    this.#tenure?.changed();
  }

  release(): Promise<void> {
    this.#released ??= this.#tenure?.release() ?? Promise.resolve();
    return this.#released;
  }
}
