/** What the tests of the settings share: reading an environment with files that exist only here. */
import { readSettings } from "../../config/settings.ts";
import type { Settings } from "../../config/settings.ts";

export type Files = Readonly<Record<string, string>>;

export const tokens = ["111:AAaa_first-secret", "222:BBbb_second-secret", "333:CCcc_third-secret"] as const;

/** The least that is complete: one bot that keeps no users. */
export const minimal = { BOT_TOKENS: tokens[0], BOT_MODULE: "echo" };

/** A file of `files`, or the error that the file system throws; a content `!CODE` throws that code. */
export function reader(files: Files): (path: string) => string {
  return (path) => {
    const content = Object.hasOwn(files, path) ? files[path] : undefined;
    const code = content === undefined ? "ENOENT" : /^!(\w+)$/.exec(content)?.[1];
    if (code !== undefined) throw Object.assign(new Error(`${code}: cannot open ${path}`), { code });
    return content ?? "";
  };
}

export function settingsOf(env: Record<string, string | undefined>, files: Files = {}): Settings {
  const read = readSettings(env, reader(files));
  if ("faults" in read) throw new Error(`unexpected faults: ${read.faults.join(" | ")}`);
  return read.settings;
}

/** The faults of an environment, none where it is right. */
export function faultsOf(env: Record<string, string | undefined>, files: Files = {}): readonly string[] {
  const read = readSettings(env, reader(files));
  return "faults" in read ? read.faults : [];
}
