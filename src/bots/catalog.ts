/** Finds a bot module by the name of a built-in one or by its path, and checks that it offers what bot.ts asks for. */
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Composer, Context } from "grammy";
import { Fault } from "../faults.ts";
import type { BotFactory, BotModule, Given, Use } from "./bot.ts";
import * as echo from "./echo.ts";
import * as referral from "./referral/referral.ts";

const builtIn: ReadonlyMap<string, Exports> = new Map<string, Exports>([
  ["echo", echo],
  ["referral", referral],
]);

/** What a file has when it is imported; anything, until it is checked. */
type Exports = Readonly<Record<string, unknown>>;

const updatesMax = 100;
const updateForm = /^[a-z][a-z_]{0,62}[a-z]$/;
const errorMaxChars = 500;
const usable: readonly Use[] = ["users", "sessions"];

/**
 * Loads a module. `nameOrPath`: the name of a built-in module, or a path, absolute or relative to `cwd`. Each file is run once in a
 * process, however many bots it serves. Rejects with `module_invalid`, naming the file and what is wrong with it; so does `create`
 * of the module where its factory fails. A factory that never ends is not noticed.
 */
export async function loadModule(nameOrPath: string, cwd: string): Promise<BotModule> {
  const found = builtIn.get(nameOrPath);
  if (found !== undefined) return moduleOf(found, nameOrPath);
  if (!isPath(nameOrPath)) {
    const names = [...builtIn.keys()].join(", ");
    throw invalid(
      nameOrPath,
      `there is no built-in module of that name, only ${names}; a path looks like ./bots/shop.ts`,
    );
  }
  const path = resolve(cwd, nameOrPath);
  return moduleOf(await importFile(path), path);
}

function isPath(text: string): boolean {
  return /[/\\]/.test(text) || /\.[cm]?[jt]sx?$/.test(text);
}

async function importFile(path: string): Promise<Exports> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw invalid(path, "there is no such file, or it may not be read");
  if (!found.isFile()) throw invalid(path, "this is no file");
  try {
    return (await import(pathToFileURL(path).href)) as Exports;
  } catch (error) {
    const words = wordsOf(error);
    const hint = /cannot find (?:package|module)/i.test(words)
      ? "; install it next to the module (`bun add …`), or keep the module in the folder of botfleet"
      : "";
    throw invalid(path, `it cannot be loaded: ${words}${hint}`, error);
  }
}

function moduleOf(exports: Exports, file: string): BotModule {
  const updates = updatesOf(exports["updates"], file);
  const uses = usesOf(exports["uses"], file);
  const made = exports["default"];
  if (typeof made !== "function") {
    const composer = composerOf(made, "its default export", file);
    return { updates, uses, create: () => composer };
  }
  return {
    updates,
    uses,
    async create(given: Given) {
      let composer: unknown;
      try {
        composer = await (made as BotFactory)(given);
      } catch (error) {
        throw invalid(file, `its default export failed for bot ${given.name}: ${wordsOf(error)}`, error);
      }
      return composerOf(composer, `what its default export made for bot ${given.name}`, file);
    },
  };
}

function updatesOf(exported: unknown, file: string): readonly string[] {
  const example = 'such as `export const updates = ["message", "callback_query"]`';
  if (exported === undefined) throw invalid(file, `it must export \`updates\`, ${example}`);
  if (!Array.isArray(exported) || exported.length === 0 || exported.length > updatesMax) {
    throw invalid(file, `its export \`updates\` must be a list of the updates it wants, ${example}`);
  }
  return [...new Set(exported.map((kind: unknown) => updateOf(kind, file)))];
}

/** Only the form is checked: Telegram adds kinds more often than botfleet learns them. */
function updateOf(kind: unknown, file: string): string {
  if (typeof kind === "string" && updateForm.test(kind) && kind !== "update_id") return kind;
  const shown = typeof kind === "string" ? JSON.stringify(kind.slice(0, 80)) : typeof kind;
  throw invalid(file, `its export \`updates\` holds ${shown}, which is no name of an update such as "message"`);
}

function usesOf(exported: unknown, file: string): readonly Use[] {
  if (exported === undefined) return [];
  const isUse = (value: unknown): value is Use => (usable as readonly unknown[]).includes(value);
  if (Array.isArray(exported) && exported.every(isUse)) return [...new Set(exported)];
  const names = usable.map((name) => JSON.stringify(name)).join(", ");
  throw invalid(file, `its export \`uses\` must be a list of what it uses, of ${names} alone`);
}

/** By its shape: a module may bring its own copy of grammY, whose classes are not ours. */
function composerOf(value: unknown, what: string, file: string): Composer<Context> {
  const methods = typeof value === "object" && value !== null ? (value as Exports) : {};
  if (typeof methods["handleUpdate"] === "function") {
    const why = "a Bot brings its own token and client, past botfleet's order, limits and retries";
    throw invalid(file, `${what} is a grammY Bot; make it a \`new Composer()\` instead (${why})`);
  }
  if (typeof methods["middleware"] !== "function") {
    throw invalid(file, `${what} must be a grammY Composer, or a function that makes one`);
  }
  return value as Composer<Context>;
}

function invalid(module: string, problem: string, cause?: unknown): Fault {
  return new Fault("module_invalid", `Module ${module}: ${problem}.`, { cause });
}

/** What an error says, on one line. Errors of Bun's parser come several at once and are no Error objects. */
function wordsOf(error: unknown): string {
  const all: readonly unknown[] = error instanceof AggregateError && error.errors.length > 0 ? error.errors : [error];
  const words = all.slice(0, 3).map((one) => {
    const message = typeof one === "object" && one !== null && "message" in one ? one.message : one;
    return String(message);
  });
  return words.join("; ").replace(/\s+/g, " ").slice(0, errorMaxChars);
}
