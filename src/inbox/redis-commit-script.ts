/** The script that writes a group; what stands under which key is told in redis-scripts.ts. Longer than 150 lines because a group is one step. */
import { common } from "./redis-common-script.ts";

/**
 * Writes a group. ARGV: writer, number, now, partitions, channel, name of the inbox, then, each with its count before it:
 *
 *     claims    partition, token
 *     marks     partition, seq, attempts or "", started (1, 0 or ""), sends or ""
 *     done      partition, first seq, last seq: all that there are between the two
 *     deaths    partition, seq, error, attempts, sends, effects unknown (1 or 0)
 *     letters   kind, id, again (1 or 0), partition for a retry
 *     appends   bot, token, runs as they must be, runs as they become ("": not looked at), count, {partition, meta, body}, count,
 *               {meta, body, error} of what is malformed
 *
 * Answers `gone` where another inbox stands there, or none: numbers would begin anew in the wrong place. `late` where a later group of the writer was
 * written already; else `ok`, the fenced partitions, {partition, settled below},
 * for each append {status, detail, {partition, first seq}}, for each letter {kind, seq}. Status: `stored` with the count of what was
 * buried · `fenced` · `full` · `conflict` where the runs are others, and for what the same bot appends
 * behind that. Where the user may not publish, others find by looking what has arrived.
 */
export const commitScript = `${common}
local writer, number, now, partitions, channel, name = arg(), num(), arg(), num(), arg(), arg()
if redis.call('HGET', key('meta'), 'name') ~= name then return {'gone'} end
local lastKey = key('w:' .. writer)
if tonumber(redis.call('GET', lastKey) or 0) >= number then return {'late'} end
local probe = redis.pcall('SET', lastKey, number, 'EX', 86400)
local isFull = false
if probe.err then
  if not string.find(probe.err, 'OOM', 1, true) then return probe end
  isFull = true
  redis.call('DEL', key('none'))
  redis.call('SET', lastKey, number, 'EX', 86400)
end

local fenced, fencedList, touched, backlog, arrived = {}, {}, {}, {}, {}
for _ = 1, num() do
  local k, token = arg(), arg()
  touched[#touched + 1] = k
  if (redis.call('HGET', key('claims'), 'p' .. k) or '') ~= token then
    fenced[k] = true
    fencedList[#fencedList + 1] = k
  end
end

for _ = 1, num() do
  local k, seq, attempts, started, sends = arg(), arg(), arg(), arg(), arg()
  if not fenced[k] and entry(k, seq) then
    local old = redis.call('HGET', key('m' .. k), seq) or '0 0 0 0'
    local a, s, rest = string.match(old, '^(%d+) (%d) (.*)$')
    redis.call('HSET', key('m' .. k), seq, (attempts == '' and a or attempts) .. ' ' .. (started == '' and s or started) .. ' ' .. rest)
    if sends ~= '' then redis.call('HSET', key('x' .. k), seq, sends) end
  end
end

local marked = {}
for _ = 1, num() do
  local k, first, last = arg(), arg(), arg()
  if not fenced[k] then
    local stream = key('e' .. k)
    if marked[k] == nil then marked[k] = redis.call('EXISTS', key('m' .. k), key('x' .. k)) > 0 end
    local found = redis.call('XRANGE', stream, first .. '-0', last .. '-0')
    for from = 1, #found, 500 do
      local ids, seqs = {}, {}
      for i = from, math.min(from + 499, #found) do
        local id = found[i][1]
        ids[#ids + 1] = id
        if marked[k] then seqs[#seqs + 1] = string.sub(id, 1, -3) end
        local bot = string.match(found[i][2][2], '^%d+')
        backlog[bot] = (backlog[bot] or 0) - 1
      end
      redis.call('XDEL', stream, unpack(ids))
      if marked[k] then forget(k, seqs) end
    end
  end
end

for _ = 1, num() do
  local k, seq, err, attempts, sends, unknown = arg(), arg(), arg(), arg(), arg(), arg()
  if not fenced[k] then die(k, seq, now, err, attempts, sends, unknown) end
end

local letters = {}
for i = 1, num() do
  local kind, id, again, k = arg(), arg(), arg(), arg()
  local letter = redis.call('XRANGE', key('letters'), id .. '-0', id .. '-0')[1]
  if not letter or (kind == 'retry' and k == '') then
    letters[i] = {'absent', ''}
  else
    local meta, sends, unknown, body = letter[2][2], letter[2][10], letter[2][12], letter[2][14]
    local bot, updateId = string.match(meta, '^(%d+) (%S+)')
    local isRetry = kind == 'retry'
    if isRetry and updateId == '-' then
      letters[i] = {'malformed', ''}
    elseif isRetry and unknown == '1' and again ~= '1' then
      letters[i] = {'effects_unknown', ''}
    else
      redis.call('XDEL', key('letters'), id .. '-0')
      bump('lettersOf', bot, -1)
      if updateId == '-' then redis.call('HDEL', key('malformed'), bot .. ':' .. redis.sha1hex(body)) end
      letters[i] = {'dropped', ''}
      if isRetry then
        local seq = text(redis.call('HINCRBY', key('next'), k, partitions))
        redis.call('XADD', key('e' .. k), seq .. '-0', 'm', meta, 't', body)
        if sends ~= '[]' then redis.call('HSET', key('x' .. k), seq, sends) end
        backlog[bot] = (backlog[bot] or 0) + 1
        arrived[k] = seq
        letters[i] = {'retried', seq}
      end
    end
  end
end

local appends, conflicted = {}, {}
for i = 1, num() do
  local bot, token, expected, updated = arg(), arg(), arg(), arg()
  local entries = num()
  local from = at
  at = at + 3 * entries
  local malformed = num()
  local known = updated ~= '' and (redis.call('HGET', key('runs'), bot) or '')
  if (redis.call('HGET', key('claims'), 'b' .. bot) or '') ~= token then
    appends[i] = {'fenced', '', {}}
  elseif isFull then
    appends[i] = {'full', '', {}}
  elseif conflicted[bot] or known and known ~= expected then
    conflicted[bot] = true
    appends[i] = {'conflict', '', {}}
  else
    local counts, nextSeq, firsts = {}, {}, {}
    for j = from + 1, from + 3 * entries, 3 do
      local k = ARGV[j]
      counts[k] = (counts[k] or 0) + 1
    end
    for k, count in pairs(counts) do
      local last = redis.call('HINCRBY', key('next'), k, text(count * partitions))
      nextSeq[k] = last - (count - 1) * partitions
      arrived[k] = text(last)
      firsts[#firsts + 1] = k
      firsts[#firsts + 1] = text(nextSeq[k])
    end
    for j = from + 1, from + 3 * entries, 3 do
      local k = ARGV[j]
      redis.call('XADD', key('e' .. k), text(nextSeq[k]) .. '-0', 'm', ARGV[j + 1], 't', ARGV[j + 2])
      nextSeq[k] = nextSeq[k] + partitions
    end
    if entries > 0 then backlog[bot] = (backlog[bot] or 0) + entries end
    if known and updated ~= expected then redis.call('HSET', key('runs'), bot, updated) end
    local buried = 0
    for j = at + 1, at + 3 * malformed, 3 do
      local field = bot .. ':' .. redis.sha1hex(ARGV[j + 1])
      if redis.call('HEXISTS', key('malformed'), field) == 0 then
        redis.call('HSET', key('malformed'), field, bury(ARGV[j], ARGV[j + 1], now, ARGV[j + 2], '0', '[]', '0'))
        buried = buried + 1
      end
    end
    appends[i] = {'stored', text(buried), firsts}
  end
  at = at + 3 * malformed
end

for bot, by in pairs(backlog) do
  if by ~= 0 then bump('backlog', bot, by) end
end
local below = {}
for _, k in ipairs(touched) do
  if not fenced[k] then
    local oldest = redis.call('XRANGE', key('e' .. k), '-', '+', 'COUNT', 1)[1]
    below[#below + 1] = k
    below[#below + 1] = oldest and string.sub(oldest[1], 1, -3) or text(redis.call('HGET', key('next'), k) + partitions)
  end
end
local said = writer
for k, seq in pairs(arrived) do said = said .. ' ' .. k .. ':' .. seq end
if said ~= writer then redis.pcall('PUBLISH', channel, said) end
return {'ok', fencedList, below, appends, letters}
`;
