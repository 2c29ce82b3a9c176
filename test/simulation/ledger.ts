/** Tells the oracle what became durable: which updates were settled or died, and which messages are remembered. */
import { partitionOfLane, seqAfter } from "../../src/inbox/partitions.ts";
import type { Committed, Group } from "../../src/inbox/store.ts";
import type { Seq } from "../../src/ids.ts";
import type { Oracle } from "./oracle.ts";

/** `u17` of the text `u17 echo` in the JSON of an update. */
const keyForm = /"text":"(u\d+) /;

export function keyIn(body: string): string {
  return keyForm.exec(body)?.[1] ?? "";
}

export class Ledger {
  private readonly oracle: Oracle;
  private readonly partitions: number;
  private readonly keys = new Map<Seq, string>();

  constructor(oracle: Oracle, partitions: number) {
    this.oracle = oracle;
    this.partitions = partitions;
  }

  /** What was written, and how that was answered. */
  learn(group: Group, { appends }: Committed): void {
    const { oracle, partitions } = this;
    for (const { seq, sends } of group.marks) {
      if (sends !== undefined && this.keys.has(seq)) oracle.marked(textsIn(sends));
    }
    for (const seq of group.done) oracle.settled(this.keyOf(seq));
    for (const { seq, error } of group.deaths) oracle.died(this.keyOf(seq), error);
    group.appends.forEach(({ bot, bodies, lanes }, at) => {
      const result = appends[at];
      if (result === undefined) throw new Error("an append has no result");
      const known = new Set(result.known);
      const seqs = [...result.firsts];
      bodies.forEach((body, place) => {
        if (known.has(place)) return;
        const lane = lanes[place];
        const partition = lane === undefined ? 0 : partitionOfLane(bot, lane, partitions);
        const seq = seqs[partition];
        if (seq === undefined) throw new Error("an entry has no seq");
        this.keys.set(seq, keyIn(body));
        seqs[partition] = seqAfter(seq, partitions);
      });
    });
  }

  keyOf(seq: Seq): string {
    const key = this.keys.get(seq);
    if (key === undefined) throw new Error(`nothing is known of entry ${seq}`);
    return key;
  }
}

/** Texts of the messages whose sends are remembered in a mark. */
function textsIn(sends: string): string[] {
  const parsed = JSON.parse(sends) as readonly { readonly result?: { readonly text?: string } }[];
  return parsed.flatMap(({ result }) => (result?.text === undefined ? [] : [result.text]));
}
