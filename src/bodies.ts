/** The bodies of waiting updates: as many in memory as the limits allow, the rest fetched from the inbox when their lane is due. */
import type { Body } from "./inbox/inbox.ts";
import type { Lane, LaneHome } from "./lanes.ts";
import type { Seq } from "./ids.ts";

export interface BodiesLimits {
  /** Bodies one lane keeps in memory. */
  readonly laneBodiesMax: number;
  /** JSON text of all bodies in memory, bytes. */
  readonly bodiesMaxBytes: number;
}

/** `fetched`: the head's body is in the lane · `absent`: the inbox no longer has the entry · an error: the inbox cannot be read. */
export type Fetched = { readonly kind: "fetched" | "absent" } | { readonly kind: "failed"; readonly error: unknown };

/** Lanes whose bodies are read in one query: bounds how long one read holds the others up. */
const fetchMaxLanes = 64;

interface Asked {
  readonly lane: Lane;
  readonly done: (fetched: Fetched) => void;
}

export class Bodies {
  private readonly limits: BodiesLimits;
  private queue: Asked[] = [];
  /** JSON text of all bodies in memory, bytes. */
  bytes = 0;

  constructor(limits: BodiesLimits) {
    this.limits = limits;
  }

  /** Keeps the body of the entry just added to `lane` if the limits allow. */
  keep(lane: Lane, seq: Seq, body: Body): void {
    // Only what is due soon: bodies from the end of a long lane would keep out those that are fetched for its head.
    if (lane.size > this.limits.laneBodiesMax || this.bytes + body.size > this.limits.bodiesMaxBytes) return;
    if (lane.head === seq) {
      lane.body = body;
      this.bytes += body.size;
    } else {
      this.keepLater(lane, seq, body);
    }
  }

  /** Takes the body of the head out of memory; undefined where it has to be fetched. */
  take(lane: Lane): Body | undefined {
    const body = lane.body;
    if (body !== undefined) {
      lane.body = undefined;
      this.bytes -= body.size;
    }
    return body;
  }

  /** The lane is gone. */
  drop(lane: Lane): void {
    this.bytes -= lane.body?.size ?? 0;
    for (const { size } of lane.laterBodies?.values() ?? []) this.bytes -= size;
    lane.body = undefined;
    lane.laterBodies = undefined;
  }

  /** Reads the head's body and, as far as there is room, those behind it. Calls `done` once. Lanes that ask together share a read. */
  fetch(lane: Lane, done: (fetched: Fetched) => void): void {
    this.queue.push({ lane, done });
    if (this.queue.length === 1) queueMicrotask(() => this.fetchQueued());
  }

  private fetchQueued(): void {
    const asked = this.queue;
    this.queue = [];
    for (const [home, lanes] of Map.groupBy(asked, ({ lane }) => lane.home)) void this.fetchFrom(home, lanes);
  }

  private async fetchFrom(home: LaneHome, asked: readonly Asked[]): Promise<void> {
    for (let from = 0; from < asked.length; from += fetchMaxLanes) {
      const group = asked.slice(from, from + fetchMaxLanes);
      const bodies = await this.read(
        home,
        group.map(({ lane }) => lane),
      );
      for (const { lane, done } of group) {
        done("error" in bodies ? { kind: "failed", error: bodies.error } : { kind: this.place(lane, bodies) });
      }
    }
  }

  private async read(
    home: LaneHome,
    lanes: readonly Lane[],
  ): Promise<ReadonlyMap<Seq, Body> | { readonly error: unknown }> {
    const mayPrefetch = this.bytes < this.limits.bodiesMaxBytes / 2;
    const seqs = lanes.flatMap((lane) =>
      lane.first(mayPrefetch ? this.limits.laneBodiesMax : 1).filter((seq) => lane.laterBodies?.has(seq) !== true),
    );
    try {
      return await home.partition.bodies(seqs);
    } catch (error) {
      return { error };
    }
  }

  private place(lane: Lane, bodies: ReadonlyMap<Seq, Body>): "fetched" | "absent" {
    const head = bodies.get(lane.head);
    if (head === undefined) return "absent";
    // The head is about to run, so it is kept even where the limit is reached: slots bound how many of these there are.
    lane.body = head;
    this.bytes += head.size;
    for (const seq of lane.first(this.limits.laneBodiesMax)) {
      const body = bodies.get(seq);
      if (body !== undefined && seq !== lane.head) this.keepLater(lane, seq, body);
    }
    return "fetched";
  }

  private keepLater(lane: Lane, seq: Seq, body: Body): void {
    if (this.bytes + body.size > this.limits.bodiesMaxBytes) return;
    lane.laterBodies ??= new Map();
    lane.laterBodies.set(seq, body);
    this.bytes += body.size;
  }
}
