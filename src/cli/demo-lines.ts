/** What a child process says, line by line. */

/** Resolves at the end of the stream. */
export async function followLines(stream: ReadableStream<Uint8Array>, each: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) each(line);
  }
  if (rest !== "") each(rest);
}

export interface LogEntry {
  readonly level: string;
  readonly msg: string;
  readonly port?: number;
  readonly error?: { readonly message?: string };
}

/** A line of botfleet's log; undefined where it is something else. */
export function entryOf(line: string): LogEntry | undefined {
  try {
    return JSON.parse(line) as LogEntry;
  } catch {
    return undefined;
  }
}
