import { describe, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../src/faults.ts";
import { lockFolder } from "../../src/inbox/lock.ts";
import { withFolder } from "./temporary-folder.ts";

function faultOf(work: () => unknown): Fault | undefined {
  try {
    work();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  return undefined;
}

describe("the lock on DATA_DIR", () => {
  test("creates the folder, keeps a second one out and can be taken again after its release", async () => {
    await withFolder((path) => {
      const folder = join(path, "a", "b");
      const lock = lockFolder(folder);
      const fault = faultOf(() => lockFolder(folder));
      expect(fault?.code).toBe("inbox_locked");
      expect(fault?.message).toContain(folder);
      lock.release();
      lock.release();
      lockFolder(folder).release();
    });
  });

  test("keeps another process out, and is free once that process was killed", async () => {
    await withFolder(async (folder) => {
      const holder = Bun.spawn([process.execPath, join(import.meta.dir, "fixtures", "hold-lock.ts"), folder], {
        stdout: "pipe",
      });
      const said = await holder.stdout.getReader().read();
      expect(new TextDecoder().decode(said.value)).toContain("locked");
      expect(faultOf(() => lockFolder(folder))?.code).toBe("inbox_locked");
      holder.kill("SIGKILL");
      await holder.exited;
      lockFolder(folder).release();
    });
  });

  test("is taken although the lock file holds garbage", async () => {
    await withFolder((folder) => {
      writeFileSync(join(folder, "botfleet.lock"), "garbage ".repeat(1_000));
      const lock = lockFolder(folder);
      expect(faultOf(() => lockFolder(folder))?.code).toBe("inbox_locked");
      lock.release();
    });
  });

  test("says what to do where the folder is a file", async () => {
    await withFolder((path) => {
      const file = join(path, "data");
      writeFileSync(file, "");
      const fault = faultOf(() => lockFolder(file));
      expect(fault?.code).toBe("settings_invalid");
      expect(fault?.message).toContain(`DATA_DIR ${file} cannot be written`);
    });
  });

  test("says what to do where the folder is not writable", async () => {
    await withFolder((folder) => {
      chmodSync(folder, 0o500);
      // Permissions do not hold root back, but nobody can create a file there.
      const unwritable = process.getuid?.() === 0 ? "/proc/self" : folder;
      const fault = faultOf(() => lockFolder(unwritable));
      chmodSync(folder, 0o700);
      expect(fault?.code).toBe("settings_invalid");
      expect(fault?.message).toContain(`DATA_DIR ${unwritable} cannot be written`);
    });
  });
});
