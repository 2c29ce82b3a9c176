/** The status as a plain page for people: no script, nothing from elsewhere, everything escaped. */
import type { Reason, Verdict } from "./health.ts";
import type { BotStatus, FleetStatus, Status } from "./status.ts";

/** Bots shown; the rest is in `/status.json`. Those with an error come first. */
const botsShown = 1_000;
const refreshS = 5;

const style = `body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color-scheme:light dark}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #8884;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.wrong{color:#c22;font-weight:600}`;

/** The value of `Content-Security-Policy` for the page: its own style and nothing else. */
export function pagePolicy(): string {
  const hash = new Bun.CryptoHasher("sha256").update(style).digest("base64");
  return `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
}

/** Complete HTML. */
export function pageOf(status: Status, ready: Verdict): string {
  const bots = [...status.bots].sort((a, b) => Number(b.error !== undefined) - Number(a.error !== undefined));
  const hidden = bots.length - botsShown;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="${refreshS}">
<title>botfleet: ${escape(ready.state)}</title>
<style>${style}</style>
</head>
<body>
<h1>botfleet ${escape(status.version)}</h1>
<p>${escape(status.state)} since ${time(status.startedAt)} · ready: <span${ready.state === "ok" ? "" : ' class="wrong"'}>${escape(ready.state)}</span></p>
${ready.reasons.length === 0 ? "" : `<ul>\n${ready.reasons.map(reasonItem).join("\n")}\n</ul>`}
<p>inbox ${escape(status.inbox.state)} · ${count(status.inbox.deadLetters, "dead letter")} · ${count(status.pipeline.inWork, "handler")} in work, ${status.pipeline.waiting} waiting</p>
${status.fleet === undefined ? "" : instancesOf(status.fleet)}<table>
<thead><tr><th>bot</th><th class="n">id</th><th>state</th><th>since</th><th>last poll</th><th class="n">backlog</th><th>error</th></tr></thead>
<tbody>
${bots.slice(0, botsShown).map(botRow).join("\n")}
</tbody>
</table>
${hidden > 0 ? `<p>${count(hidden, "more bot")} in <a href="/status.json">status.json</a></p>` : ""}
</body>
</html>
`;
}

function instancesOf({ self, instances }: FleetStatus): string {
  const rows = instances.map(({ id, host, version, state, ready, lastHeartbeatAt, bots, partitions }) => {
    const names = `<td>${escape(host)}${id === self ? " (this one)" : ""}</td><td>${escape(id)}</td><td>${escape(version)}</td>`;
    const isWrong = state === "gone" || !ready;
    const shown = `<td${isWrong ? ' class="wrong"' : ""}>${escape(state)}${ready ? "" : ", not ready"}</td>`;
    const heartbeat = `<td>${lastHeartbeatAt === undefined ? "never" : time(lastHeartbeatAt)}</td>`;
    return `<tr>${names}${shown}${heartbeat}<td class="n">${bots}</td><td class="n">${partitions}</td></tr>`;
  });
  return `<table>
<thead><tr><th>instance</th><th>id</th><th>version</th><th>state</th><th>last heartbeat</th><th class="n">bots</th><th class="n">partitions</th></tr></thead>
<tbody>
${rows.join("\n")}
</tbody>
</table>
`;
}

function reasonItem({ what, remedy }: Reason): string {
  return `<li><span class="wrong">${escape(what)}</span>: ${escape(remedy)}</li>`;
}

function botRow(bot: BotStatus): string {
  const cells = [escape(bot.state), time(bot.since), bot.lastPollAt === undefined ? "never" : time(bot.lastPollAt)];
  const plain = cells.map((cell) => `<td>${cell}</td>`).join("");
  return `<tr><td>${escape(bot.name)}</td><td class="n">${bot.id}</td>${plain}<td class="n">${bot.backlog}</td><td>${escape(bot.error ?? "")}</td></tr>`;
}

function time(ms: number): string {
  return `<time>${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC</time>`;
}

function count(of: number, noun: string): string {
  return `${of} ${noun}${of === 1 ? "" : "s"}`;
}

function escape(text: string): string {
  return Bun.escapeHTML(text);
}
