import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A new folder for one test, and how to remove it with everything in it. */
export function temporaryFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "botfleet-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Removes the folder whatever `work` ends with. */
export async function withFolder(work: (path: string) => unknown): Promise<void> {
  const folder = temporaryFolder();
  try {
    await work(folder.path);
  } finally {
    folder.remove();
  }
}
