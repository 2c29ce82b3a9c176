/** `bun run users:seed --mongodb`, as a process. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { toUserId } from "../../src/ids.ts";
import { describeLive } from "./live.ts";
import { useMongodb } from "./mongodb-rig.ts";
import { mongodbServer } from "./programs.ts";

async function seed(...flags: readonly string[]): Promise<{ readonly code: number; readonly said: string }> {
  const command = [process.execPath, join(import.meta.dir, "../../src/cli/users-seed.ts"), ...flags];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
  const said = (await new Response(child.stdout).text()) + (await new Response(child.stderr).text());
  return { code: await child.exited, said };
}

describeLive("seeded users in MongoDB", [mongodbServer], () => {
  const mongodb = useMongodb();

  test("are as many as were asked for, and are not mixed with others", async () => {
    const { databaseName } = mongodb.database();
    const flags = ["--count", "2500", "--mongodb", mongodb.url, "--database", databaseName];
    const { code, said } = await seed(...flags);
    expect(said).toContain(`2500 users in the database ${databaseName}`);
    expect(code).toBe(0);
    const store = await mongodb.open(databaseName);
    const ids = Array.from({ length: 2_501 }, (_, place) => toUserId(place + 1));
    expect((await store.read(ids)).size).toBe(2_500);
    const again = await seed(...flags);
    expect(again.said).toContain("name another one by --database");
    expect(again.code).toBe(78);
  });
});
