/** Compression of MongoDB's messages, as `config/database-optimization.json` names it. */
import type { Parsed } from "./parse.ts";

export const compressorNames = ["zstd", "snappy", "zlib"] as const;

export interface Compression {
  /** In the order of preference; none: no compression. */
  readonly compressors: readonly (typeof compressorNames)[number][];
  /** 1 the fastest, 9 the smallest. */
  readonly zlibLevel: number;
}

export function readCompression(file: {
  readonly compressors?: unknown;
  readonly zlibCompressionLevel?: unknown;
}): Parsed<Compression> {
  const { compressors = [], zlibCompressionLevel: zlibLevel = 1 } = file;
  if (!Array.isArray(compressors) || !compressors.every(isCompressor)) {
    return { wrong: `compressors: must be a list of ${compressorNames.join(", ")}, or empty` };
  }
  if (typeof zlibLevel !== "number" || !Number.isInteger(zlibLevel) || zlibLevel < 1 || zlibLevel > 9) {
    return { wrong: "zlibCompressionLevel: must be a whole number from 1 to 9" };
  }
  return { value: { compressors, zlibLevel } };
}

function isCompressor(name: unknown): name is Compression["compressors"][number] {
  return (compressorNames as readonly unknown[]).includes(name);
}
