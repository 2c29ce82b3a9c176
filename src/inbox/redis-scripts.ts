/**
 * What Redis does in one step each, in Lua. KEYS[1] is the beginning of every key of the shard; all share its hash tag, so that they live on
 * one node of a cluster. What stands there (`k`: a partition, seqs as decimal text):
 *
 *     meta        hash    format, partitions, name (drawn once), run (of the server that the numbers were last given out by)
 *     next        hash    k → the last seq given out; `letter` → the last letter
 *     claims      hash    p<k>, b<bot> → token of the present claim; absent is the eternal one, ""
 *     state       hash    o<k> → who has the partition open, "" after a clean end; s<k> → entries up to it are suspects
 *     e<k>        stream  <seq>-0 → m `bot updateId receivedAt lane`, t the update: what is unsettled, and nothing else
 *     m<k>        hash    seq → `attempts started alone crashes`; x<k>: seq → finished sends. Few entries have them
 *     runs        hash    bot → remembered numbering
 *     backlog     hash    bot → unsettled entries
 *     letters     stream  <id>-0 → the dead letter; lettersOf: bot → how many; malformed: `bot:sha1` → id
 *     w:<writer>  number of the last group that a process wrote
 *
 * A server that is full refuses what needs memory unless the script has changed something before: so the script asks first whether there is
 * room (`isFull`), then deletes a key that there is not; settling goes on, and appends are refused by our own decision.
 */

import { createHash } from "node:crypto";
import { commitScript } from "./redis-commit-script.ts";
import { common } from "./redis-common-script.ts";
import type { Script } from "../redis/server.ts";

/**
 * ARGV: format, partitions and name where this is the first start, gap left where the server is another one than before. Answers
 * `newer` and the format, or `ok`, the partitions, the name, and the run of the server.
 */
const prepareScript = `${common}
local format, partitions, name, gap = num(), num(), arg(), num()
local meta = redis.call('HMGET', key('meta'), 'format', 'partitions', 'run', 'name')
if meta[1] and tonumber(meta[1]) > format then return {'newer', meta[1]} end
redis.call('DEL', key('none'))
partitions = tonumber(meta[2] or partitions)
name = meta[4] or name
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
local isOther = meta[3] and meta[3] ~= run
for k = 0, partitions - 1 do
  redis.call('HSETNX', key('next'), k, k == 0 and 0 or k - partitions)
  if isOther then redis.call('HINCRBY', key('next'), k, text(gap * partitions)) end
end
if isOther then redis.call('HINCRBY', key('next'), 'letter', text(gap)) end
redis.call('HSET', key('meta'), 'format', format, 'partitions', partitions, 'name', name, 'run', run)
return {'ok', text(partitions), name, run}
`;

/**
 * ARGV: partition, token, writer, now, crashes that kill, error of such a death. Answers `ok` or `fenced`. Suspicion is raised where
 * another process had the partition open, once: asked again by the same process it changes nothing.
 */
const takeOverScript = `${common}
local k, token, writer, now, deadly, err = arg(), arg(), arg(), arg(), num(), arg()
if (redis.call('HGET', key('claims'), 'p' .. k) or '') ~= token then return 'fenced' end
local opener = redis.call('HGET', key('state'), 'o' .. k) or ''
if opener == writer then return 'ok' end
redis.call('DEL', key('none'))
if opener ~= '' then redis.call('HSET', key('state'), 's' .. k, redis.call('HGET', key('next'), k)) end
local marks = redis.call('HGETALL', key('m' .. k))
for i = 1, #marks, 2 do
  local seq = marks[i]
  local attempts, started, alone, crashes = string.match(marks[i + 1], '^(%d+) (%d) (%d) (%d+)$')
  if started == '1' then
    if opener ~= '' then
      if alone == '1' then crashes = tonumber(crashes) + 1 end
      alone = '1'
    end
    if tonumber(crashes) >= deadly then
      die(k, seq, now, err, attempts, redis.call('HGET', key('x' .. k), seq) or '[]', '1')
    else
      redis.call('HSET', key('m' .. k), seq, attempts .. ' 0 ' .. alone .. ' ' .. crashes)
    end
  end
end
redis.call('HSET', key('state'), 'o' .. k, writer)
return 'ok'
`;

/** ARGV: writer, then for each partition its number and token: those that are still open for the writer have ended cleanly. */
const closeScript = `${common}
local writer = arg()
while at < #ARGV do
  local k, token = arg(), arg()
  local isOurs = (redis.call('HGET', key('claims'), 'p' .. k) or '') == token
  if isOurs and redis.call('HGET', key('state'), 'o' .. k) == writer then redis.call('HSET', key('state'), 'o' .. k, '') end
end
`;

/** ARGV: for each entry partition and seq. Answers seq, meta, body and sends ("" where there are none) of each that is unsettled. */
const bodiesScript = `${common}
local answer = {}
while at < #ARGV do
  local k, seq = arg(), arg()
  local found = entry(k, seq)
  if found then
    local n = #answer
    answer[n + 1], answer[n + 2], answer[n + 3] = seq, found[2][2], found[2][4]
    answer[n + 4] = redis.call('HGET', key('x' .. k), seq) or ''
  end
end
return answer
`;

/**
 * ARGV: how many partitions there are, entries to be read in all at most, then for each read its partition, the seq it begins above, and how many
 * entries at most. Answers for each how many it could have had, the last seq given out, below which everything is settled, up to which entries are
 * suspects, {seq, meta, body} of its entries, and where there are any: marks by seq, and the seqs of which sends are remembered.
 */
const readScript = `${common}
local partitions, left = num(), num()
local answer = {}
while at < #ARGV do
  local k, after, max = arg(), num(), math.min(num(), left)
  local rows, marks, sends = {}, {}, {}
  if max > 0 then
    for _, found in ipairs(redis.call('XRANGE', key('e' .. k), text(after + 1) .. '-0', '+', 'COUNT', max)) do
      local n = #rows
      rows[n + 1], rows[n + 2], rows[n + 3] = string.sub(found[1], 1, -3), found[2][2], found[2][4]
    end
    left = left - #rows / 3
    if #rows > 0 then
      marks = redis.call('HGETALL', key('m' .. k))
      sends = redis.call('HKEYS', key('x' .. k))
    end
  end
  local last = redis.call('HGET', key('next'), k) or '0'
  local oldest = redis.call('XRANGE', key('e' .. k), '-', '+', 'COUNT', 1)[1]
  local below = oldest and string.sub(oldest[1], 1, -3) or text(last + partitions)
  answer[#answer + 1] = {max, last, below, redis.call('HGET', key('state'), 's' .. k) or '', rows, marks, sends}
end
return answer
`;

/** ARGV: for each entry partition and seq. Answers the seqs of those that are unsettled. */
const unsettledScript = `${common}
local answer = {}
while at < #ARGV do
  local k, seq = arg(), arg()
  if entry(k, seq) then answer[#answer + 1] = seq end
end
return answer
`;

/** ARGV: partitions. Answers the name, then for each partition the last seq given out and that below which everything is settled. */
const lookScript = `${common}
local partitions = num()
local answer = {redis.call('HGET', key('meta'), 'name') or '0'}
for k = 0, partitions - 1 do
  local last = redis.call('HGET', key('next'), k) or '0'
  local oldest = redis.call('XRANGE', key('e' .. k), '-', '+', 'COUNT', 1)[1]
  answer[#answer + 1] = last
  answer[#answer + 1] = oldest and string.sub(oldest[1], 1, -3) or text(last + partitions)
  answer[#answer + 1] = text(redis.call('XLEN', key('e' .. k)))
end
return {answer, redis.call('HGETALL', key('backlog'))}
`;

const script = (lua: string): Script => ({ lua, sha: createHash("sha1").update(lua).digest("hex") });
export const scripts = {
  prepare: script(prepareScript),
  takeOver: script(takeOverScript),
  close: script(closeScript),
  read: script(readScript),
  bodies: script(bodiesScript),
  unsettled: script(unsettledScript),
  look: script(lookScript),
  commit: script(commitScript),
};
