/** Decodes what comes with a call: query string, JSON, form or multipart, gzipped or not. */
import { gunzipSync, inflateSync } from "node:zlib";
import type { HttpRequest } from "./http.ts";
import type { Payload } from "./wire.ts";

/**
 * The parameters of a request; throws where the body is not what its Content-Type (or `type`) says. As at Telegram, a body of any other
 * type counts as none.
 */
export function decode(request: HttpRequest, type = request.header("content-type") ?? "application/json"): Payload {
  const query = request.target.indexOf("?");
  const fromQuery = query < 0 ? {} : formFields(request.target.slice(query + 1));
  if (request.body.length === 0) return fromQuery;
  const body = inflated(request);
  let fields: Payload;
  if (type.startsWith("application/json")) fields = JSON.parse(body.toString()) as Payload;
  else if (type.startsWith("application/x-www-form-urlencoded")) fields = formFields(body.toString());
  else if (type.startsWith("multipart/form-data")) fields = multipart(body, type);
  else fields = {};
  return query < 0 ? fields : { ...fromQuery, ...fields };
}

function inflated(request: HttpRequest): Buffer {
  switch (request.header("content-encoding")) {
    case "gzip":
      return gunzipSync(request.body);
    case "deflate":
      return inflateSync(request.body);
    default:
      return request.body;
  }
}

/** `a=1&b=2` */
export function formFields(text: string): Payload {
  return Object.fromEntries(new URLSearchParams(text));
}

/** Text parts are fields, parts with a file name become `Upload`. */
function multipart(body: Buffer, type: string): Payload {
  const boundary = /boundary=(?:"([^"]+)"|([^;\s]+))/.exec(type);
  if (boundary === null) throw new SyntaxError("multipart without a boundary");
  const mark = `--${boundary[1] ?? boundary[2] ?? ""}`;
  const fields: Record<string, unknown> = {};
  let at = body.indexOf(mark);
  while (at >= 0) {
    const headStart = at + mark.length + 2;
    const headEnd = body.indexOf("\r\n\r\n", headStart);
    const next = body.indexOf(`\r\n${mark}`, headStart);
    if (headEnd < 0 || next < 0) break;
    const head = body.toString("utf8", headStart, headEnd);
    const name = /[ ;]name="([^"]*)"/.exec(head)?.[1];
    const fileName = /filename="([^"]*)"/.exec(head)?.[1];
    const content = body.subarray(headEnd + 4, next);
    if (name !== undefined)
      fields[name] = fileName === undefined ? content.toString() : { fileName, bytes: content.length };
    at = next + 2;
  }
  return fields;
}
