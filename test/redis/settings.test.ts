import { describe, expect, test } from "bun:test";
import { freeBytesOf, judgeSettings } from "../../src/redis/settings.ts";

const sound = {
  maxmemory: "1000000",
  "maxmemory-policy": "noeviction",
  appendonly: "yes",
  appendfsync: "always",
  save: "900 1",
};

function judge(changed: Record<string, string> = {}, hasWaitAof = false) {
  return judgeSettings(new Map(Object.entries({ ...sound, ...changed })), hasWaitAof);
}

describe("the configuration of the inbox Redis", () => {
  test("is sound with noeviction and an AOF that is written before each answer", () => {
    expect(judge()).toEqual({ refusal: undefined, warnings: [], waitsForDisk: false, losesTail: false });
  });

  test("is refused where it may evict, naming what to set", () => {
    for (const policy of ["allkeys-lru", "volatile-lru", "allkeys-random"]) {
      const { refusal } = judge({ "maxmemory-policy": policy });
      expect(refusal).toContain(policy);
      expect(refusal).toContain("set maxmemory-policy noeviction");
      expect(refusal).toContain("REDIS_ALLOW_LOSS");
    }
    // Without a limit of its memory it never evicts.
    expect(judge({ "maxmemory-policy": "allkeys-lru", maxmemory: "0" }).refusal).toBeUndefined();
  });

  test("is refused where nothing is kept over a restart; with snapshots alone it warns", () => {
    expect(judge({ appendonly: "no", save: "" }).refusal).toContain("set appendonly yes");
    const snapshots = judge({ appendonly: "no" });
    expect(snapshots.refusal).toBeUndefined();
    expect(snapshots.warnings.join()).toContain("since the last one");
    expect(snapshots.losesTail).toBe(true);
  });

  test("names every fault at once", () => {
    const { refusal } = judge({ appendonly: "no", save: "", "maxmemory-policy": "allkeys-lru" });
    expect(refusal).toContain("noeviction");
    expect(refusal).toContain("appendonly yes");
  });

  test("says what is lost with `everysec` and `no`", () => {
    expect(judge({ appendfsync: "everysec" }).warnings.join()).toContain("what the last second brought");
    expect(judge({ appendfsync: "no" }).warnings.join()).toContain("half a minute");
    expect(judge({ appendfsync: "everysec" })).toMatchObject({ waitsForDisk: false, losesTail: true });
  });

  test("with `everysec` and a server that has WAITAOF every write waits for the disk", () => {
    expect(judge({ appendfsync: "everysec" }, true)).toMatchObject({ waitsForDisk: true, losesTail: true });
    expect(judge({ appendfsync: "always" }, true).waitsForDisk).toBe(false);
    // There WAITAOF would answer with an error.
    expect(judge({ appendfsync: "everysec", appendonly: "no" }, true).waitsForDisk).toBe(false);
  });

  test("that is not told is a warning, not a refusal", () => {
    const { refusal, warnings } = judgeSettings(undefined, true);
    expect(refusal).toBeUndefined();
    expect(warnings.join()).toContain("CONFIG is forbidden");
  });
});

test("the room left is what may be used up to `maxmemory`; without it there is no end", () => {
  const info = "# Memory\r\nused_memory:700\r\nmaxmemory:1000\r\nmem_not_counted_for_evict:50\r\n";
  expect(freeBytesOf(info)).toBe(350);
  expect(freeBytesOf("used_memory:700\r\nmaxmemory:0\r\n")).toBe(Infinity);
});
