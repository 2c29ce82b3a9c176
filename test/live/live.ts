/** Groups of tests that need real servers. */
import { describe, expect, test } from "bun:test";
import { missing, type Server } from "./programs.ts";

/**
 * `body` declares the tests. Where a server is missing they are one skipped test that names it; in CI (`CI=true`) that test fails instead: there
 * nothing is left out.
 */
export function describeLive(title: string, servers: readonly Server[], body: () => void): void {
  const reasons = servers.map(missing).filter((reason) => reason !== undefined);
  if (reasons.length === 0) return describe(title, body);
  const why = reasons.join("; ");
  if (isCi()) test(`${title}: runs in CI`, () => expect(why).toBe(""));
  else test.skip(`${title}: ${why}`, () => {});
}

function isCi(): boolean {
  return ["true", "1"].includes(process.env["CI"] ?? "");
}
