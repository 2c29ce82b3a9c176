/** Documents that are no users: left out of lists, and told once each, so that one of them never hides the others. */
import { faultOf } from "../faults.ts";
import type { Log } from "../log.ts";

export interface DamagedOptions {
  readonly log: Pick<Log, "error"> | undefined;
  /** Documents that are told; of more of them, it is not the documents that have to be looked at. */
  readonly toldMax: number;
}

export class Damaged {
  readonly #options: DamagedOptions;
  /** By the message, which names the user. */
  readonly #told = new Set<string>();

  constructor(options: DamagedOptions) {
    this.#options = options;
  }

  /** What `check` answers; undefined where it throws `user_invalid`. Throws what else it throws. */
  leaveOut<T>(check: () => T): T | undefined {
    try {
      return check();
    } catch (error) {
      const fault = faultOf(error);
      if (fault?.code !== "user_invalid") throw error;
      const { log, toldMax } = this.#options;
      if (!this.#told.has(fault.message) && this.#told.size < toldMax) {
        this.#told.add(fault.message);
        log?.error("a damaged user is left out of lists such as the leaderboard", { error });
      }
      return undefined;
    }
  }
}
