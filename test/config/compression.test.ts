import { expect, test } from "bun:test";
import { readCompression } from "../../config/compression.ts";

test("compression is what the file names; none, where it names none", () => {
  const given = { compressors: ["zlib", "zstd"], zlibCompressionLevel: 9 };
  expect(readCompression(given)).toEqual({ value: { compressors: ["zlib", "zstd"], zlibLevel: 9 } });
  expect(readCompression({})).toEqual({ value: { compressors: [], zlibLevel: 1 } });
});

test("what names no compression is refused by field, with what it may be", () => {
  for (const compressors of ["zlib", ["gzip"], [1], null]) {
    expect(readCompression({ compressors })).toEqual({
      wrong: "compressors: must be a list of zstd, snappy, zlib, or empty",
    });
  }
  for (const zlibCompressionLevel of [0, 10, 1.5, "6", null]) {
    expect(readCompression({ zlibCompressionLevel })).toEqual({
      wrong: "zlibCompressionLevel: must be a whole number from 1 to 9",
    });
  }
});
