/** What stands in the second tier: texts that a script of the server can read the head of. Anything else is damaged, and counts as nothing. */
/** How documents of a kind stand there. */
export interface Kind<Id, Document> {
  /** Without blanks and line ends; not that of a document of another kind. */
  readonly keyOf: (id: Id) => string;
  /** Undefined where it is none of this kind. */
  readonly idOf: (key: string) => Id | undefined;
  readonly idIn: (document: Document) => Id;
  readonly versionIn: (document: Document) => number;
  /** Undefined: too large to stand there. */
  readonly rowOf: (document: Document) => string | undefined;
  /** May throw, or answer undefined, where the row is none. */
  readonly documentIn: (row: string) => Document | undefined;
}

/** `d <generation> <version> <row>`; version 0: there is no such document. */
const documentForm = /^d ([a-z0-9]+) (\d{1,16}) /;

/** `absent` there is no such document · `nothing` storage has to be asked: nothing is there, or a lease, or what may be old, or what is damaged. */
export type Found<Document> =
  | { readonly kind: "document"; readonly document: Document }
  | { readonly kind: "absent" }
  | { readonly kind: "nothing" | "old" | "damaged" };

export function documentOf(generation: string, version: number, row: string): string {
  return `d ${generation} ${version} ${row}`;
}

/** Never throws, whatever is there. */
export function readDocument<Id, Document>(
  value: string | undefined,
  id: Id,
  generation: string,
  kind: Kind<Id, Document>,
): Found<Document> {
  if (value === undefined || value.startsWith("l ")) return { kind: "nothing" };
  const head = documentForm.exec(value);
  if (head === null) return { kind: "damaged" };
  if (head[1] !== generation) return { kind: "old" };
  const version = Number(head[2]);
  if (version === 0) return value.length === head[0].length ? { kind: "absent" } : { kind: "damaged" };
  try {
    const document = kind.documentIn(value.slice(head[0].length));
    if (document === undefined) return { kind: "damaged" };
    const isIt = kind.idIn(document) === id && kind.versionIn(document) === version;
    return isIt ? { kind: "document", document } : { kind: "damaged" };
  } catch {
    // Of another botfleet, or of nobody's: storage knows better, and the next fill replaces it.
    return { kind: "damaged" };
  }
}
