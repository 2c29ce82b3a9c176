/** The lowest tier: storage itself, asked for many documents at a time. */
import DataLoader from "dataloader";
import { Fault, faultOf, isOutage } from "../faults.ts";
import type { Tier } from "./tier.ts";

export interface StorageTierOptions<Id, Document> {
  readonly store: { read(ids: readonly Id[]): Promise<ReadonlyMap<Id, Document>> };
  /** Reads that come together are one (`ENABLE_QUERY_BATCHING`). */
  readonly group: boolean;
  /** Documents asked for at once. */
  readonly readMax: number;
}

export function createStorageTier<Id, Document>({
  store,
  group,
  readMax,
}: StorageTierOptions<Id, Document>): Tier<Id, Document> {
  /** One damaged document must not hide those that are asked for with it. */
  async function readEach(ids: readonly Id[]): Promise<ReadonlyMap<Id, Document | Error>> {
    try {
      return await store.read(ids);
    } catch (error) {
      const fault = faultOf(error);
      if (ids.length === 1 || fault === undefined || isOutage(fault)) throw error;
      const documents = new Map<Id, Document | Error>();
      for (const id of ids) {
        for (const [found, document] of await readEach([id]).catch(
          (failed: unknown) => new Map([[id, asError(failed)]]),
        )) {
          documents.set(found, document);
        }
      }
      return documents;
    }
  }

  // Holds nothing itself: remembering is the business of the tiers above.
  const loader = new DataLoader<Id, Document | undefined>(
    async (ids) => {
      const documents = await readEach([...new Set(ids)]);
      return ids.map((id) => documents.get(id));
    },
    { cache: false, batch: group, maxBatchSize: readMax },
  );

  async function read(ids: readonly Id[]): Promise<ReadonlyMap<Id, Document>> {
    const documents = new Map<Id, Document>();
    const failed: unknown[] = [];
    for (const [at, found] of (await loader.loadMany(ids)).entries()) {
      const id = ids[at];
      if (found instanceof Error) failed.push(found);
      else if (found !== undefined && id !== undefined) documents.set(id, found);
    }
    const [error] = failed;
    if (error !== undefined)
      throw error instanceof Fault
        ? error
        : new Fault("unavailable", "what is stored cannot be read", { cause: error });
    return documents;
  }

  return { held: () => undefined, read, readFresh: read, stored: () => {}, forget: () => {} };
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
