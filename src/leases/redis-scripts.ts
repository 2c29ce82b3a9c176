/**
 * What Redis does for the leases in one step each, in Lua. KEYS[1] is the beginning of every key, the same as the inbox's, which compares what
 * stands in `claims`:
 *
 *     claims          hash    b<bot>, p<k> → token of the present claim
 *     epochs          hash    b<bot>, p<k> → how often it was taken
 *     members         hash    member → one line of JSON
 *     alive:<member>  expires `ttlMs` after the last renewal
 *     fleet           hash    changed → random text of the last change
 *
 * Where the user may not publish nobody hears of a change, which each one sees with its next renewal. A server that is full refuses what needs memory unless the script has changed something before: each deletes a key that there is not.
 */
import { createHash } from "node:crypto";
import type { Script } from "../redis/server.ts";

const common = `
local base = KEYS[1]
local at = 0
local function arg() at = at + 1; return ARGV[at] end
local function key(name) return base .. name end
local function isAlive(member) return redis.call('EXISTS', key('alive:' .. member)) == 1 end
redis.call('DEL', key('none'))
`;

/** ARGV: member, info, ttl in ms, seen, then members to forget. Answers run, seen, members as id, info, ms left; claims, where they are others. */
const renewScript = `${common}
local member, info, ttl, seen = arg(), arg(), arg(), arg()
redis.call('SET', key('alive:' .. member), 1, 'PX', ttl)
redis.call('HSET', key('members'), member, info)
while at < #ARGV do
  local dead = arg()
  if not isAlive(dead) then redis.call('HDEL', key('members'), dead) end
end
local server = redis.pcall('INFO', 'server')
local run = type(server) == 'string' and string.match(server, 'run_id:(%w+)') or ''
local present = run .. ' ' .. (redis.call('HGET', key('fleet'), 'changed') or '')
local members = redis.call('HGETALL', key('members'))
local answer = {}
for i = 1, #members, 2 do
  local left = isAlive(members[i]) and math.max(1, redis.call('PTTL', key('alive:' .. members[i]))) or 0
  answer[#answer + 1] = members[i]
  answer[#answer + 1] = members[i + 1]
  answer[#answer + 1] = left
end
if present == seen then return {run, present, answer} end
return {run, present, answer, redis.call('HGETALL', key('claims'))}
`;

/** ARGV: channel, member, nonce, then name and expected token of each. Answers name and token of each that the member has now. */
const takeScript = `${common}
local channel, member, nonce = arg(), arg(), arg()
local mine = ':' .. member .. '-' .. nonce
local answer, isNew = {}, false
if not isAlive(member) then return answer end
while at < #ARGV do
  local name, expected = arg(), arg()
  local token = redis.call('HGET', key('claims'), name) or ''
  local isMine = string.sub(token, -#mine) == mine
  if not isMine and token == expected then
    local owner = string.match(token, '^%d+:(%w+)%-')
    if token == '' or owner and not isAlive(owner) then
      token = string.format('%.0f', redis.call('HINCRBY', key('epochs'), name, 1)) .. mine
      redis.call('HSET', key('claims'), name, token)
      isMine, isNew = true, true
    end
  end
  if isMine then answer[#answer + 1] = name; answer[#answer + 1] = token end
end
if isNew then
  redis.call('HSET', key('fleet'), 'changed', 't' .. nonce)
  redis.pcall('PUBLISH', channel, 'changed ' .. member)
end
return answer
`;

/** ARGV: channel, member, random text, 1 where the member ends, then name and token of each. */
const giveScript = `${common}
local channel, member, mark, isEnd = arg(), arg(), arg(), arg()
local isNew = isEnd == '1'
while at < #ARGV do
  local name, token = arg(), arg()
  if redis.call('HGET', key('claims'), name) == token then
    redis.call('HDEL', key('claims'), name)
    isNew = true
  end
end
if isEnd == '1' then
  redis.call('DEL', key('alive:' .. member))
  redis.call('HDEL', key('members'), member)
end
if isNew then
  redis.call('HSET', key('fleet'), 'changed', 'g' .. mark)
  redis.pcall('PUBLISH', channel, 'changed ' .. member)
end
`;

const script = (lua: string): Script => ({ lua, sha: createHash("sha1").update(lua).digest("hex") });
export const scripts = { renew: script(renewScript), take: script(takeScript), give: script(giveScript) };
