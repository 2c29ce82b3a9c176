/** Invitation links: `https://t.me/<bot>?start=ref_<code>`, which Telegram turns into `/start ref_<code>`. */

const prefix = "ref_";
/** Telegram's start parameters have 64 characters at most. */
const codeForm = /^[A-Za-z0-9]{1,60}$/;

export function inviteLink(username: string, code: string): string {
  return `${chatLink(username)}?start=${prefix}${code}`;
}

export function chatLink(username: string): string {
  return `https://t.me/${username}`;
}

/** The code in what followed /start; "" where it cannot be anybody's; undefined where it came by no invitation link. */
export function codeIn(argument: string): string | undefined {
  if (!argument.startsWith(prefix)) return undefined;
  const code = argument.slice(prefix.length);
  return codeForm.test(code) ? code : "";
}
