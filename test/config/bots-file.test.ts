import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readSettings } from "../../config/settings.ts";
import { faultsOf, settingsOf, tokens } from "./reading.ts";

const path = "/etc/bots.json";
const good = { name: "shop", token: tokens[0], module: "echo" };

/** Faults of a file with this content, without their common start. */
function fileFaults(content: unknown, env: Record<string, string> = {}): readonly string[] {
  const text = typeof content === "string" ? content : JSON.stringify(content);
  const faults = faultsOf({ BOTS_FILE: path, ...env }, { [path]: text, "/run/token": tokens[1] });
  for (const fault of faults) expect(fault).toStartWith(`BOTS_FILE: ${path}: `);
  return faults.map((fault) => fault.slice(`BOTS_FILE: ${path}: `.length));
}

/** Faults of a file whose only bot is `good` with these fields changed. */
const botFaults = (changes: object, env: Record<string, string> = {}): readonly string[] =>
  fileFaults({ bots: [{ ...good, ...changes }] }, env);

describe("a bots file", () => {
  test("gives each bot its name, id, token, module, server and limits", () => {
    const bots = [
      {
        name: "shop",
        token: tokens[0],
        module: "./bots/shop.ts",
        apiRoot: "http://127.0.0.1:8081/",
        limits: { engine: "off", chatBurst: 9 },
      },
      { name: "Ночь 2", tokenEnv: "NIGHT_TOKEN", module: "echo" },
    ];
    const read = settingsOf(
      { BOTS_FILE: path, NIGHT_TOKEN: ` ${tokens[1]} `, TELEGRAM_API_ROOT: "https://proxy.example/" },
      { [path]: JSON.stringify({ bots }) },
    );
    expect(read.bots as readonly unknown[]).toEqual([
      {
        name: "shop",
        id: 111,
        token: tokens[0],
        module: "./bots/shop.ts",
        apiRoot: "http://127.0.0.1:8081",
        limits: { engine: "off", chatPerSecond: 1, chatBurst: 9, groupPerMinute: 20, broadcastPerSecond: 30 },
      },
      {
        name: "Ночь 2",
        id: 222,
        token: tokens[1],
        module: "echo",
        apiRoot: "https://proxy.example",
        limits: { engine: "built-in", chatPerSecond: 1, chatBurst: 5, groupPerMinute: 20, broadcastPerSecond: 30 },
      },
    ]);
  });

  test("takes a token from the file that NAME_FILE of its tokenEnv names", () => {
    expect(botFaults({ token: undefined, tokenEnv: "T" }, { T_FILE: "/run/token" })).toEqual([]);
    expect(botFaults({ token: undefined, tokenEnv: "T" }, { T_FILE: "/run/absent" })).toEqual([
      "bots[0].tokenEnv: T_FILE: /run/absent cannot be read: there is no such file",
    ]);
    expect(botFaults({ token: undefined, tokenEnv: "T" }, { T: tokens[1], T_FILE: "/run/token" })).toEqual([
      "bots[0].tokenEnv: T: T_FILE is set as well; keep one of them",
    ]);
  });

  test("may begin with a byte order mark", () => {
    expect(fileFaults(`\uFEFF${JSON.stringify({ bots: [good] })}\n`)).toEqual([]);
  });

  test("that cannot be read is a fault with its path", () => {
    expect(faultsOf({ BOTS_FILE: "/etc/absent.json" })).toEqual([
      "BOTS_FILE: /etc/absent.json cannot be read: there is no such file",
    ]);
  });

  test("that is not JSON is a fault that says why", () => {
    expect(fileFaults('{"bots": [')).toEqual(["is not JSON (Unexpected EOF)"]);
    expect(fileFaults("")).toEqual([expect.stringMatching(/^is not JSON/)]);
    expect(fileFaults(`{"bots": [{"token": ${tokens[0]}}]}`).join()).not.toContain("first-secret");
  });

  test("needs a list of at least one bot, and nothing beside it", () => {
    for (const content of [null, 3, "text", [good], true])
      expect(fileFaults(JSON.stringify(content))).toEqual(["must be an object with bots"]);
    for (const bots of [undefined, {}, [], "x", 1])
      expect(fileFaults({ bots })).toEqual(["bots: must be a list of at least one bot"]);
    expect(fileFaults({ bots: [good], bot: [] })).toEqual(["has a field bot that is not known; known are bots"]);
  });

  test("is read strictly: an unknown field is a fault", () => {
    expect(botFaults({ modul: "echo" })).toEqual([
      "bots[0]: has a field modul that is not known; known are name, token, tokenEnv, module, apiRoot, limits",
    ]);
    expect(botFaults({ limits: { chatPerMinute: 1 } })[0]).toStartWith(
      "bots[0].limits: has a field chatPerMinute that is not known",
    );
    expect(fileFaults('{"bots":[{"name":"a","token":"1:a","module":"echo","__proto__":{}}]}')).toHaveLength(1);
  });

  test("names the field of each wrong type", () => {
    for (const wrong of [1, true, null, {}, [], ""]) {
      expect(botFaults({ name: wrong })).toEqual(["bots[0].name: must be a text that is not empty"]);
      expect(botFaults({ token: wrong })).toEqual(["bots[0].token: must be a text that is not empty"]);
      expect(botFaults({ module: wrong })).toEqual(["bots[0].module: must be a text that is not empty"]);
      expect(botFaults({ apiRoot: wrong })).toEqual(["bots[0].apiRoot: must be a text that is not empty"]);
      expect(botFaults({ token: undefined, tokenEnv: wrong })).toEqual([
        "bots[0].tokenEnv: must be a text that is not empty",
      ]);
    }
    for (const wrong of [1, null, "x", []])
      expect(botFaults({ limits: wrong })[0]).toStartWith("bots[0].limits: must be an object");
    for (const wrong of [1, null, "x", []])
      expect(fileFaults({ bots: [wrong] })[0]).toStartWith("bots[0]: must be an object");
  });

  test("names each missing field", () => {
    expect(fileFaults({ bots: [{}] })).toEqual([
      "bots[0].name: is missing",
      "bots[0]: needs token or tokenEnv",
      "bots[0].module: is missing",
    ]);
  });

  test("wants exactly one of token and tokenEnv", () => {
    expect(botFaults({ tokenEnv: "T" })).toEqual(["bots[0]: has both token and tokenEnv; keep one"]);
    expect(botFaults({ token: undefined })).toEqual(["bots[0]: needs token or tokenEnv"]);
  });

  test("wants the variable of tokenEnv to be set to a token", () => {
    expect(botFaults({ token: undefined, tokenEnv: "SHOP_TOKEN" })).toEqual([
      "bots[0].tokenEnv: names SHOP_TOKEN, and neither it nor its _FILE form is set",
    ]);
    expect(botFaults({ token: undefined, tokenEnv: "SHOP_TOKEN" }, { SHOP_TOKEN: "abc" })[0]).toStartWith(
      "bots[0].tokenEnv: names SHOP_TOKEN, whose value has not the form",
    );
    expect(botFaults({ token: undefined, tokenEnv: tokens[0] })).toEqual([
      "bots[0].tokenEnv: must be the name of an environment variable, not the token itself",
    ]);
    expect(botFaults({ token: undefined, tokenEnv: "constructor" })).toHaveLength(1);
  });

  test("wants names that can stand in a log line", () => {
    for (const name of ["a", "Shop-2.de", "магазин", "x".repeat(64)]) expect(botFaults({ name })).toEqual([]);
    for (const name of [" a", "a ", "a\nb", "\u001b[31m", "-a", tokens[0], "x".repeat(65), "a\u202eb"]) {
      expect(botFaults({ name })[0]).toStartWith("bots[0].name: must be 1 to 64 letters");
    }
  });

  test("wants modules and servers that can exist", () => {
    expect(botFaults({ module: "refferal" })[0]).toStartWith("bots[0].module: must be referral, echo or the path");
    expect(botFaults({ apiRoot: "127.0.0.1:8081" })[0]).toStartWith(
      "bots[0].apiRoot: must be an http:// or https:// URL",
    );
  });

  test("gives each bot once: the same name or the same id twice is a fault at the second", () => {
    const bots = [
      good,
      { ...good, name: "other" },
      { ...good, token: tokens[1] },
      { name: "d", token: "111:another", module: "echo" },
    ];
    expect(fileFaults({ bots })).toEqual([
      "bots[1]: is the same bot twice: see bots[0]",
      "bots[2].name: names two bots alike: see bots[0].name",
      "bots[3]: is the same bot twice: see bots[0]",
    ]);
  });

  test("wants limits within their bounds", () => {
    const limit = (field: string, value: unknown): readonly string[] => botFaults({ limits: { [field]: value } });
    for (const field of ["chatPerSecond", "chatBurst", "groupPerMinute", "broadcastPerSecond"]) {
      expect(limit(field, 1)).toEqual([]);
      for (const wrong of [0, -1, "1", null, true, 1e9, {}]) {
        expect(limit(field, wrong)).toEqual([
          expect.stringMatching(new RegExp(`^bots\\[0\\]\\.limits\\.${field}: must be a `)),
        ]);
      }
    }
    expect(limit("chatPerSecond", 0.5)).toEqual([]);
    expect(limit("chatBurst", 0.5)).toEqual([
      "bots[0].limits.chatBurst: must be a whole number above 0 and up to 1000",
    ]);
    expect(
      fileFaults(`{"bots":[{"name":"a","token":"1:a","module":"echo","limits":{"chatBurst":1e999}}]}`),
    ).toHaveLength(1);
    for (const engine of ["built-in", "grammy", "off"]) expect(limit("engine", engine)).toEqual([]);
    expect(limit("engine", "none")).toEqual(["bots[0].limits.engine: must be one of built-in, grammy, off"]);
  });

  test("tells the faults of all bots in one go", () => {
    expect(fileFaults({ bots: [{ ...good, module: "x" }, 7, { ...good, name: "b", token: "y" }] })).toHaveLength(3);
  });

  test("with thousands of bots is read", () => {
    const bots = Array.from({ length: 5_000 }, (_, index) => ({
      name: `b${index}`,
      token: `${index + 1}:x`,
      module: "echo",
    }));
    expect(settingsOf({ BOTS_FILE: path }, { [path]: JSON.stringify({ bots }) }).bots).toHaveLength(5_000);
  });

  test("nested too deeply is a fault, not a crash", () => {
    expect(fileFaults("[".repeat(1_000_000))).toHaveLength(1);
    expect(fileFaults(`{"bots":${"[".repeat(1_000)}${"]".repeat(1_000)}}`)).toHaveLength(1);
  });
});

test("config/bots.example.json is right once its variables are set", () => {
  const root = join(import.meta.dir, "../..");
  const env = {
    BOTS_FILE: "config/bots.example.json",
    ECHO_BOT_TOKEN: tokens[0],
    SHOP_BOT_TOKEN: tokens[1],
    LOCAL_BOT_TOKEN: tokens[2],
  };
  const read = readSettings(env, (file) => readFileSync(join(root, file), "utf8"));
  expect(read).toHaveProperty("settings");
});
