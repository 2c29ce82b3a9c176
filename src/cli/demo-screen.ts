/** Where the demo speaks and listens: a terminal with two lines that are kept up to date above the prompt, or plain text. */
import { clearScreenDown, createInterface, cursorTo, type Interface, moveCursor } from "node:readline";

export interface Screen {
  /** Further lines, above what is kept up to date. */
  print(text: string): void;
  /** Lines that are kept up to date; plain text has none. */
  keep(lines: readonly string[]): void;
  prompt(text: string): void;
  /** Begins to listen. */
  open(events: ScreenEvents): void;
  /** Nothing is kept any more; what was printed stays. */
  close(): void;
}

export interface ScreenEvents {
  readonly onLine: (line: string) => void;
  /** Ctrl-C, Ctrl-D. */
  readonly onEnd: () => void;
}

export class TerminalScreen implements Screen {
  readonly #paint: Paint;
  readonly #output = process.stdout;
  /** Undefined before it is opened and after it is closed. */
  #reader: Interface | undefined;
  #prompt = "> ";
  #kept: readonly string[] = [];
  /** Rows of `#kept` that stand above the prompt now. */
  #rows = 0;

  constructor(paint: Paint) {
    this.#paint = paint;
  }

  open({ onLine, onEnd }: ScreenEvents): void {
    const reader = createInterface({ input: process.stdin, output: this.#output, terminal: true, historySize: 100 });
    this.#reader = reader;
    reader.setPrompt(this.#prompt);
    reader.on("line", (line) => this.#entered(line, onLine));
    reader.on("close", onEnd);
    this.#output.on("resize", () => this.#redraw());
    this.#draw();
  }

  print(text: string): void {
    this.#erase();
    this.#output.write(`${text}\n`);
    this.#draw();
  }

  keep(lines: readonly string[]): void {
    if (lines.length === this.#kept.length && lines.every((line, at) => line === this.#kept[at])) return;
    this.#erase();
    this.#kept = lines;
    this.#draw();
  }

  prompt(text: string): void {
    this.#prompt = text;
    this.#reader?.setPrompt(text);
    this.#redraw();
  }

  close(): void {
    this.#erase();
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.close();
  }

  #entered(line: string, onLine: (line: string) => void): void {
    // The cursor stands below the line just entered.
    this.#clear(1 + Math.floor(Bun.stringWidth(this.#prompt + line) / this.#columns));
    if (line.trim() !== "") this.#output.write(`${this.#prompt}${line}\n`);
    this.#draw();
    onLine(line);
  }

  #redraw(): void {
    this.#erase();
    this.#draw();
  }

  #erase(): void {
    if (this.#reader !== undefined) this.#clear(this.#reader.getCursorPos().rows);
  }

  #clear(below: number): void {
    moveCursor(this.#output, 0, -(below + this.#rows));
    cursorTo(this.#output, 0);
    clearScreenDown(this.#output);
    this.#rows = 0;
    // The reader goes up by the rows it wrote last time: they are gone.
    if (this.#reader !== undefined) (this.#reader as { prevRows?: number }).prevRows = 0;
  }

  #draw(): void {
    if (this.#reader === undefined) return;
    for (const line of this.#kept) this.#output.write(`${this.#paint.dim(line.slice(0, this.#columns - 1))}\n`);
    this.#rows = this.#kept.length;
    this.#reader.prompt(true);
  }

  get #columns(): number {
    return Math.max(20, this.#output.columns || 80);
  }
}

export class PlainScreen implements Screen {
  print(text: string): void {
    process.stdout.write(`${text}\n`);
  }

  keep(): void {
    // Nothing can be kept up to date on paper.
  }

  prompt(): void {
    // Nobody is asked.
  }

  open(): void {
    // A script is read elsewhere.
  }

  close(): void {
    // Nothing is open.
  }
}

export interface Paint {
  readonly dim: (text: string) => string;
  readonly bold: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
}

/** Without colours every text stays as it is. */
export function createPaint(colours: boolean): Paint {
  const code =
    (on: number, off: number) =>
    (text: string): string =>
      colours ? `\u001B[${on}m${text}\u001B[${off}m` : text;
  return { dim: code(2, 22), bold: code(1, 22), good: code(32, 39), bad: code(31, 39) };
}
