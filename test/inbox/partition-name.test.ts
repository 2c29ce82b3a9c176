import { expect, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { newPartitionName, partitionNameOf } from "../../src/inbox/partition-name.ts";
import { withFolder } from "./temporary-folder.ts";

test("a partition keeps its number for ever, and gets another one where the file holds none", async () => {
  await withFolder((folder) => {
    expect(partitionNameOf(folder, () => 281_474_976_710_656)).toBe(281_474_976_710_656);
    expect(partitionNameOf(folder, () => 7)).toBe(281_474_976_710_656);
    expect(readdirSync(folder)).toEqual(["partition"]);
    for (const text of ["", "0", "-1", "1e5", "9".repeat(20), "ann"]) {
      writeFileSync(join(folder, "partition"), text);
      expect(partitionNameOf(folder, () => 7)).toBe(7);
    }
  });
});

test("new numbers differ, and fit into a document", () => {
  const numbers = Array.from({ length: 1_000 }, newPartitionName);
  expect(new Set(numbers).size).toBe(1_000);
  for (const number of numbers) expect(Number.isSafeInteger(number) && number > 0).toBe(true);
});
