/** How the first tier holds documents of one kind. */

/** How documents of a kind are held. */
export interface Holding<Id, Document, Held extends HeldEntry> {
  idOf(document: Document): Id;
  of(document: Document, doubt: number): Held;
  documentOf(held: Held): Document;
  /** It is held no more. */
  drop(held: Held): void;
  /** About what so many take that are held. */
  bytes(count: number): number;
}

export interface Versioned {
  readonly version: number;
}

export interface HeldEntry extends Versioned {
  /** The doubt after which it was asked for. */
  readonly doubt: number;
  /** About what it takes. Absent where all take little. */
  readonly bytes?: number;
}
