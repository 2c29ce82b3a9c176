/** Which compressors of MongoDB's wire protocol can be used: two are built in, one is a package that may be installed. */
import zlib from "node:zlib";

export type Compressor = "zstd" | "snappy" | "zlib";

/** Those of `wanted` that can be used here, and why the others cannot. */
export async function usableCompressors(
  wanted: readonly Compressor[],
): Promise<{ readonly usable: readonly Compressor[]; readonly missing: readonly Compressor[] }> {
  const isUsable = await Promise.all(
    wanted.map(async (name) => {
      switch (name) {
        case "zlib":
          return true;
        case "zstd":
          return "zstdCompress" in zlib;
        case "snappy":
          return await isInstalled("snappy");
      }
    }),
  );
  return {
    usable: wanted.filter((_, at) => isUsable[at]),
    missing: wanted.filter((_, at) => !isUsable[at]),
  };
}

async function isInstalled(name: string): Promise<boolean> {
  try {
    await import(name);
    return true;
  } catch {
    return false;
  }
}
