/** Removes secrets from text on its way out: bot tokens, passwords in URIs, the signatures of initData, and secrets known exactly. */

/** Answers `text` without its secrets. Linear in the length of `text`; never throws. */
export type Redact = (text: string) => string;

/** A secret shorter than this is not looked for by itself: it would turn up inside ordinary words. */
const secretMinChars = 4;

/** In the path of a Bot API address a token is known by its place, whatever its length. */
const inPath = /\/bot\d{1,20}(?::|%3A)[^/\s"'?#\\]{1,512}/gi;
const token = /(\d{5,16})(?::|%3A)[A-Za-z0-9_-]{30,}/gi;
const credentials = /:\/\/[^\s"'<>]{1,1024}@/g;
const signature = /(hash|signature)((?:[=:"'\\\s]|%3D|%3A|%22){1,12})[A-Za-z0-9_-]{40,}/gi;

function literal(secret: string): string {
  return secret.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");
}

function formsOf(secret: string): string[] {
  return [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)];
}

/**
 * `secrets`: texts that must never be seen, such as `ADMIN_TOKEN` and the passwords of URIs; found also in the forms that
 * URIs and JSON give them. Tokens of bots need not be handed in, their form gives them away.
 */
export function createRedact(secrets: readonly string[]): Redact {
  const forms = new Set(secrets.filter((secret) => secret.length >= secretMinChars).flatMap(formsOf));
  // Longest first, else a secret that begins another one would leave the other's end behind.
  const ordered = [...forms].sort((a, b) => b.length - a.length).map(literal);
  const exact = ordered.length === 0 ? undefined : new RegExp(ordered.join("|"), "g");
  return (text) => {
    const known = exact === undefined ? text : text.replace(exact, "<redacted>");
    return known
      .replace(inPath, "/bot<redacted>")
      .replace(token, "$1:<redacted>")
      .replace(credentials, "://<redacted>@")
      .replace(signature, "$1$2<redacted>");
  };
}

/** The password in a URI that was checked, as it stands there and decoded; none where it has none. */
export function passwordIn(uri: string): readonly string[] {
  const password = /^[a-z+]+:\/\/[^/@:]*:([^/@]+)@/.exec(uri)?.[1];
  return password === undefined ? [] : [password, decodeURIComponent(password)];
}
