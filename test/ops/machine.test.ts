import { expect, test } from "bun:test";
import { checkMachine, openFilesOf } from "../../src/ops/machine.ts";

const roomy = { bots: 3, slots: 1_500, filesReserved: 256, httpRequests: "4096", openFiles: 65_536 };

test("a machine with room enough is met with silence", () => {
  expect(checkMachine(roomy)).toEqual({ faults: [], warnings: [] });
});

test("requests that handlers may have to wait for are a warning that says what to set", () => {
  const { faults, warnings } = checkMachine({ ...roomy, httpRequests: undefined });
  expect(faults).toEqual([]);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain("BUN_CONFIG_MAX_HTTP_REQUESTS is not set, which means 256");
  expect(warnings[0]).toContain("Set it to 1503");
});

test("more polls than requests are a fault: no handler could ever answer", () => {
  const { faults } = checkMachine({ ...roomy, bots: 256, httpRequests: undefined });
  expect(faults).toHaveLength(1);
  expect(checkMachine({ ...roomy, bots: 255, httpRequests: undefined }).faults).toEqual([]);
});

test("a value that is no number counts as Bun counts it", () => {
  expect(checkMachine({ ...roomy, httpRequests: "many" }).warnings[0]).toContain("is many");
});

test("too few open files are told with the ways to raise them", () => {
  const few = checkMachine({ ...roomy, openFiles: 1_024 });
  expect(few.warnings).toEqual([
    "at most 1024 files may be open; 3 bots and 1500 handlers at once need 1759. Raise it: ulimit -n 1759 (systemd: LimitNOFILE=1759; Docker: --ulimit nofile=1759).",
  ]);
  expect(checkMachine({ ...roomy, openFiles: 258 }).faults).toHaveLength(1);
  expect(checkMachine({ ...roomy, openFiles: undefined })).toEqual({ faults: [], warnings: [] });
});

/** Linux' list of limits, shortened. */
const list = (soft: string) =>
  `Limit                     Soft Limit           Hard Limit           Units\nMax open files            ${soft} 1048576              files\n`;

test("the limit is read from Linux' list, and is unknown elsewhere or where there is none", () => {
  expect(openFilesOf(() => list("20000               "))).toBe(20_000);
  expect(openFilesOf(() => list("unlimited           "))).toBeUndefined();
  expect(
    openFilesOf(() => {
      throw new Error("ENOENT");
    }),
  ).toBeUndefined();
  if (process.platform === "linux") expect(openFilesOf()).toBeGreaterThan(16);
});
