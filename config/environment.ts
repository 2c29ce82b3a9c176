/** Texts as the environment gives them: trimmed, an empty one being none; secrets also from files. */

export type Environment = Readonly<Record<string, string | undefined>>;

/** Answers the text of a file, or throws as `node:fs` does. */
export type ReadFile = (path: string) => string;

export type Found = { readonly value: string | undefined } | { readonly fault: string };

export function textOf(env: Environment, name: string): string | undefined {
  const text = Object.hasOwn(env, name) ? env[name]?.trim() : undefined;
  return text === "" ? undefined : text;
}

/** Whether a secret is given in one way or the other, right or wrong. */
export function isGiven(env: Environment, name: string): boolean {
  return textOf(env, name) !== undefined || textOf(env, `${name}_FILE`) !== undefined;
}

/** A secret from `name`, or from the file that `<name>_FILE` names. `shown` stands for the name in a fault. */
export function secretOf(env: Environment, readFile: ReadFile, name: string, shown: string = name): Found {
  const value = textOf(env, name);
  const path = textOf(env, `${name}_FILE`);
  if (path === undefined) return { value };
  if (value !== undefined) return { fault: `${shown}: ${shown}_FILE is set as well; keep one of them` };
  const content = contentOf(readFile, path);
  if ("wrong" in content) return { fault: `${shown}_FILE: ${content.wrong}` };
  return content.value === "" ? { fault: `${shown}_FILE: ${shownPath(path)} is empty` } : content;
}

/** The trimmed text of a file. */
export function contentOf(readFile: ReadFile, path: string): { readonly value: string } | { readonly wrong: string } {
  try {
    return { value: readFile(path).trim() };
  } catch (error) {
    return { wrong: `${shownPath(path)} cannot be read: ${reasonOf(error)}` };
  }
}

/**
 * A path for a fault. What does not look like a path is not repeated: a secret given as `NAME_FILE` instead of `NAME`, or the JSON
 * itself as `BOTS_FILE`, is an easy mistake.
 */
export function shownPath(path: string): string {
  const looksLikePath =
    /^(?:[A-Za-z]:)?[\w ./\\~+@-]{1,255}$/.test(path) && /^(?:[A-Za-z]:)?[./\\~]|\.[A-Za-z]{1,8}$/.test(path);
  return looksLikePath ? path : "its value (not shown, since it does not look like a path)";
}

function reasonOf(error: unknown): string {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  switch (code) {
    case "ENOENT":
      return "there is no such file";
    case "EACCES":
    case "EPERM":
      return "this user may not read it";
    case "EISDIR":
      return "it is a folder";
    default:
      return typeof code === "string" && /^E[A-Z0-9]{1,20}$/.test(code) ? code : "unknown reason";
  }
}
