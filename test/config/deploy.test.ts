/** What the files in config/deploy hold, line by line. Whether they work is tried in test/live/. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { variables } from "../../config/variables.ts";

const textOf = (file: string): string => readFileSync(join(import.meta.dir, "../../config/deploy", file), "utf8");

/** Without comments and indentation. */
function linesOf(file: string): string[] {
  const lines = textOf(file)
    .split("\n")
    .map((line) => line.trim());
  return lines.filter((line) => line !== "" && !line.startsWith("#"));
}

describe("nginx.conf", () => {
  const lines = linesOf("nginx.conf");

  test("holds the guide's lines", () => {
    const guide = [
      "least_conn;",
      "proxy_http_version 1.1;",
      "proxy_set_header Upgrade $http_upgrade;",
      "proxy_set_header Host $host;",
      "proxy_cache_bypass $http_upgrade;",
      "proxy_connect_timeout 60s;",
      "proxy_send_timeout 60s;",
      "proxy_read_timeout 60s;",
      "listen 443 ssl http2;",
      "access_log off;",
    ];
    for (const line of guide) expect(lines).toContain(line);
    const servers = lines.filter((line) => line.startsWith("server "));
    expect(servers.filter((line) => line.endsWith(":3001 max_fails=3 fail_timeout=30s;"))).toHaveLength(3);
    expect(textOf("nginx.conf")).toMatch(/location = \/health \{\n\s+access_log off;/);
  });

  test("asks for an upgrade only where the client does", () => {
    expect(lines).toContain("proxy_set_header Connection $connection_upgrade;");
    expect(textOf("nginx.conf")).toMatch(/map \$http_upgrade \$connection_upgrade \{\s+default upgrade;\s+'' '';\s+\}/);
  });
});

test("both load balancers know the default port of botfleet, at the same three addresses", () => {
  const addresses = (file: string) => linesOf(file).flatMap((line) => /^server .*?([\d.]+:\d+)/.exec(line)?.[1] ?? []);
  const [ofNginx, again] = [addresses("nginx.conf").slice(0, 3), addresses("nginx.conf").slice(3)];
  expect(again).toEqual(ofNginx);
  expect(new Set(ofNginx).size).toBe(3);
  expect(addresses("haproxy.cfg")).toEqual(ofNginx);
  for (const address of ofNginx) expect(address).toEndWith(`:${variables.PORT.default}`);
});

for (const [file, policy] of [
  ["redis-cache.conf", "allkeys-lru"],
  ["redis-inbox.conf", "noeviction"],
] as const) {
  test(`${file} holds the guide's values with ${policy}, and nothing else`, () => {
    expect(linesOf(file)).toEqual([
      "maxmemory 8gb",
      `maxmemory-policy ${policy}`,
      "save 900 1",
      "save 300 10",
      "appendonly yes",
      "appendfsync everysec",
    ]);
  });
}
