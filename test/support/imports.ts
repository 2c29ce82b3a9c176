/** What a source file imports, exports and does at its top level, read from its formatted text. */
import { existsSync } from "node:fs";
import { dirname, join, relative } from "node:path";

export interface SourceFile {
  /** From the root of the repository, with `/`. */
  readonly path: string;
  readonly text: string;
}

/**
 * Specifiers of every import and re-export, those of types too, and of `import("...")`. Relative ones are resolved to paths from
 * `root`, and end as they stand where no such file exists.
 */
export function importsOf(file: SourceFile, root: string): readonly string[] {
  const code = withoutComments(file.text);
  const statements = code.matchAll(/^(?:import|export)\b[^"'=(;]*?\bfrom\s*["']([^"']+)["']/gm);
  const effects = code.matchAll(/^import\s*["']([^"']+)["']/gm);
  const calls = code.matchAll(/\bimport\(\s*["']([^"']+)["']/g);
  const found = [...statements, ...effects, ...calls].map((match) => match[1] ?? "");
  return [...new Set(found)].map((specifier) => resolved(specifier, file.path, root));
}

function resolved(specifier: string, from: string, root: string): string {
  if (!specifier.startsWith(".")) return specifier;
  const path = relative(root, join(root, dirname(from), specifier)).replaceAll("\\", "/");
  return existsSync(join(root, path)) ? path : specifier;
}

/** True where every statement of the file is an import or a re-export. */
export function isBarrel(file: SourceFile): boolean {
  const statements = withoutComments(file.text)
    .split(/;\s*\n|;\s*$/)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== "");
  const reExport = /^export\s+(?:type\s+)?(?:\*(?:\s+as\s+\w+)?|\{[^}]*\})(?:\s+from\s*["'][^"']+["'])?$/;
  return (
    statements.some((statement) => reExport.test(statement)) &&
    statements.every((statement) => reExport.test(statement) || /^import\b/.test(statement))
  );
}

/**
 * Statements at the top level that are more than a declaration: work (calls, loops, conditions, `await`) and state (`let`, `var`, an
 * empty collection, an instance). Types are gone from what is answered.
 */
export function workAtImport(file: SourceFile): readonly string[] {
  const code = withoutTemplates(new Bun.Transpiler({ loader: "ts" }).transformSync(file.text));
  const harmless =
    /^(?:import\b|export (?:default )?(?:async )?(?:function|class)\b|(?:async )?function\b|class\b|export \{|[\])}])/;
  return code.split("\n").filter((line) => /^\S/.test(line) && !harmless.test(line) && !isConstant(line));
}

/** A `const` whose value is a literal, a function, or made by pure means of literals. */
function isConstant(line: string): boolean {
  const value = /^(?:export )?const \w+ = (.*)$/.exec(line)?.[1];
  if (value === undefined) return false;
  // A Set or Map made of values is a look-up table; an empty one waits to be filled.
  if (/^new (?:Set|Map)\((?!\))|^new RegExp\(/.test(value)) return true;
  return !/^(?:new|await)\b|^(?:create|open|start|connect|spawn)[A-Z(]|^(?:process|Bun)\./.test(value);
}

/**
 * Template literals with all that stands in them taken away, since their lines may begin like statements. `code` comes from the
 * transpiler: it holds no comments.
 */
function withoutTemplates(code: string): string {
  // A regular expression is told from a division by what stands before it.
  const token =
    /"(?:\\[^]|[^"\\\n])*"|'(?:\\[^]|[^'\\\n])*'|(?<=[(,=:[!&|?{};]\s*|return )\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])+\/[a-z]*|`|\$\{|\\[^]|[{}]|[^]/gy;
  /** What is open around the place: a template, a `${` in one, or a brace. */
  const open: ("`" | "${" | "{")[] = [];
  let kept = "";
  while (token.lastIndex < code.length) {
    const inText = open.at(-1) === "`";
    // Inside the text of a template quotes and slashes mean nothing.
    const text = inText ? templateToken(code, token) : (token.exec(code)?.[0] ?? "");
    const inTemplate = open.includes("`");
    if (text === "`") {
      if (inText) open.pop();
      else open.push("`");
    } else if (inText && text === "${") open.push("${");
    else if (!inText && text === "{") open.push("{");
    else if (!inText && text === "}") open.pop();
    if (!inTemplate) kept += text;
  }
  return kept;
}

/** The next piece of the text of a template, from where `token` stands; moves it on. */
function templateToken(code: string, token: RegExp): string {
  const at = token.lastIndex;
  const piece = /^(?:\\[^]|\$\{|`|[^`\\$]+|\$)/.exec(code.slice(at))?.[0] ?? "";
  token.lastIndex = at + piece.length;
  return piece;
}

/** Block comments that begin a line, and line comments that fill one. */
function withoutComments(text: string): string {
  return text.replace(/^[ \t]*\/\*[^]*?\*\//gm, "").replace(/^[ \t]*\/\/.*$/gm, "");
}

/** The first ring of imports found, as the paths in it, or undefined where there is none. */
export function ringIn(graph: ReadonlyMap<string, readonly string[]>): readonly string[] | undefined {
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): readonly string[] | undefined => {
    const at = trail.indexOf(path);
    if (at >= 0) return [...trail.slice(at), path];
    if (done.has(path)) return undefined;
    for (const next of graph.get(path) ?? []) {
      const ring = visit(next, [...trail, path]);
      if (ring !== undefined) return ring;
    }
    done.add(path);
    return undefined;
  };
  for (const path of graph.keys()) {
    const ring = visit(path, []);
    if (ring !== undefined) return ring;
  }
  return undefined;
}
