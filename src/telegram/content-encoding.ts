/** Unpacks bodies that came packed although `identity` was asked for, as some proxies send them. */
import { brotliDecompressSync, gunzipSync, inflateSync } from "node:zlib";

/** `malformed`: the coding is not known, or the body is not what it says. */
export type Unpacked = { readonly text: string } | "malformed" | "too_large";

/** `encoding`: a `Content-Encoding` in lower case. Never throws. Holds the event loop up while it unpacks. */
export function unpack(encoding: string, bytes: Buffer, maxBytes: number): Unpacked {
  const options = { maxOutputLength: maxBytes };
  try {
    switch (encoding) {
      case "identity":
        return { text: bytes.toString("utf8") };
      case "gzip":
      case "x-gzip":
        return { text: gunzipSync(bytes, options).toString("utf8") };
      case "deflate":
        return { text: inflateSync(bytes, options).toString("utf8") };
      case "br":
        return { text: brotliDecompressSync(bytes, options).toString("utf8") };
      default:
        return "malformed";
    }
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    return code === "ERR_BUFFER_TOO_LARGE" ? "too_large" : "malformed";
  }
}
