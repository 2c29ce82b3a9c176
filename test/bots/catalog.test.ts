import { afterEach, expect, test } from "bun:test";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { limits } from "../../config/limits.ts";
import { loadModule } from "../../src/bots/catalog.ts";
import type { Given } from "../../src/bots/bot.ts";
import { Fault } from "../../src/faults.ts";
import type { Users } from "../../src/users/users.ts";
import { host, me, textUpdate } from "./fixtures/scripted.ts";

const folders: string[] = [];
afterEach(async () => {
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true })));
});

async function folderWith(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "botfleet-module-"));
  folders.push(folder);
  for (const [name, text] of Object.entries(files)) await Bun.write(join(folder, name), text);
  return folder;
}

async function faultFrom(of: Promise<unknown>): Promise<string> {
  const error = await of.then(
    () => expect.unreachable(),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(Fault);
  expect((error as Fault).code).toBe("module_invalid");
  return (error as Fault).message;
}

const given: Given = {
  name: "shop",
  me,
  log: { info() {}, warn() {} },
  now: () => 0,
  users: {} as Users,
  sessions: () => expect.unreachable(),
  rateLimit: undefined,
  limits: limits.modules,
  count() {},
};
const composer = "{ middleware: () => (ctx, next) => next() }";

test("a module outside of botfleet is loaded by a path relative to the working directory, and by an absolute one", async () => {
  const folder = await folderWith({
    "bots/shop.ts": `import { Composer } from "grammy";
      export const updates: string[] = ["message", "brand_new_kind"];
      export default async ({ name }: { name: string }) => {
        const bot = new Composer();
        bot.on("message:text", (ctx) => ctx.reply(name + ": " + ctx.message.text));
        return bot;
      };`,
  });
  await symlink(join(import.meta.dir, "../../node_modules"), join(folder, "node_modules"));
  for (const path of ["bots/shop.ts", "./bots/shop.ts", join(folder, "bots/shop.ts")]) {
    const module = await loadModule(path, folder);
    expect(module.updates).toEqual(["message", "brand_new_kind"]);
    const { handle, calls } = await host(module);
    await handle(textUpdate("hello"));
    expect(calls[0]?.payload["text"]).toBe("shop: hello");
  }
});

test("a name that is not built in is answered with those that are, and with how a path looks", async () => {
  for (const name of ["shop", "constructor", "__proto__", ""]) {
    const words = await faultFrom(loadModule(name, "/"));
    expect(words).toBe(
      `Module ${name}: there is no built-in module of that name, only echo, referral; a path looks like ./bots/shop.ts.`,
    );
  }
});

const broken: readonly (readonly [string, string, RegExp])[] = [
  ["does not export `updates`", `export default ${composer};`, /must export `updates`, such as/],
  [
    "exports text as `updates`",
    `export const updates = "message"; export default ${composer};`,
    /`updates` must be a list/,
  ],
  ["wants no updates", `export const updates = []; export default ${composer};`, /`updates` must be a list/],
  [
    "wants what is no update",
    `export const updates = ["Message"]; export default ${composer};`,
    /holds "Message", which/,
  ],
  ["wants a number", `export const updates = [1]; export default ${composer};`, /holds number, which/],
  ["wants update_id", `export const updates = ["update_id"]; export default ${composer};`, /holds "update_id", which/],
  [
    "names what nobody can use",
    `export const updates = ["message"]; export const uses = ["users", "secrets"]; export default ${composer};`,
    /`uses` must be a list of what it uses, of "users", "sessions" alone/,
  ],
  [
    "exports text as `uses`",
    `export const updates = ["message"]; export const uses = "users"; export default ${composer};`,
    /`uses` must be a list/,
  ],
  ["has no default export", `export const updates = ["message"];`, /its default export must be a grammY Composer/],
  [
    "exports a Bot",
    `export const updates = ["message"]; export default { middleware() {}, handleUpdate() {} };`,
    /its default export is a grammY Bot; make it a `new Composer\(\)`/,
  ],
  ["throws when it is loaded", `throw new Error("no\\nluck");`, /cannot be loaded: no luck\.$/],
  ["is no TypeScript", `export const = ;`, /cannot be loaded: \w/],
  [
    "lacks a package",
    `import "no-such-package-here"; export default 1;`,
    /no-such-package-here.*install it next to the module/i,
  ],
];

for (const [what, text, words] of broken) {
  test(`a module that ${what} is a fault that names the file and says so`, async () => {
    const folder = await folderWith({ "shop.ts": text });
    const said = await faultFrom(loadModule("shop.ts", folder));
    expect(said).toMatch(words);
    expect(said).toStartWith(`Module ${join(folder, "shop.ts")}: `);
  });
}

test("a file that is not there, or is none, is a fault that names it", async () => {
  const folder = await folderWith({ "folder.ts/x": "" });
  expect(await faultFrom(loadModule("./absent.ts", folder))).toBe(
    `Module ${join(folder, "absent.ts")}: there is no such file, or it may not be read.`,
  );
  expect(await faultFrom(loadModule("./folder.ts", folder))).toContain("this is no file");
});

for (const [what, body, words] of [
  ["throws", `() => { throw new Error("no shop") }`, "its default export failed for bot shop: no shop"],
  ["rejects", `async () => { throw "text" }`, "its default export failed for bot shop: text"],
  ["makes no Composer", "() => 5", "what its default export made for bot shop must be a grammY Composer"],
] as const) {
  test(`a factory that ${what} is a fault that names the file and the bot`, async () => {
    const folder = await folderWith({ "shop.ts": `export const updates = ["message"]; export default ${body};` });
    const module = await loadModule("shop.ts", folder);
    const said = await faultFrom((async () => module.create(given))());
    expect(said).toStartWith(`Module ${join(folder, "shop.ts")}: ${words}`);
  });
}

test("a Composer may be exported as it is, and a kind named twice is asked for once", async () => {
  const folder = await folderWith({
    "shop.ts": `export const updates = ["message", "message"]; export default ${composer};`,
  });
  const module = await loadModule("shop.ts", folder);
  expect([module.updates, module.uses]).toEqual([["message"], []]);
  expect(typeof (await module.create(given)).middleware).toBe("function");
});
