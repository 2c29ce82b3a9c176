/**
 * What the server does in one step each, in Lua; `server.ts` says what stands under a key. KEYS[1] is the registry, a hash: `g` the generation,
 * `r` the run of the server that it was made in, `s:<sender>` when that was seen and how often it was doubted since. The other keys are users.
 * A server that is full refuses to set, never to delete.
 */

/** Of a document or a lease; any other value has none. Longest: a lease with a token of 32 letters. */
const headOf = `
local function headOf(key)
  local head = redis.pcall('GETRANGE', key, 0, 63)
  if type(head) == 'string' then return head end
  return 'of another kind'
end
`;

/** ARGV: token, life time of a lease in ms, whether it is fresh. Answers the generation, then for each user `` granted, `l` refused, or the document. */
export const leaseScript = `${headOf}
local g = redis.call('HGET', KEYS[1], 'g')
if not g then return {} end
local answer = {g}
for i = 2, #KEYS do
  local key = KEYS[i]
  local head = ARGV[3] == '1' and '' or headOf(key)
  if string.match(head, '^d (%w+) ') == g then
    answer[i] = redis.call('GET', key)
  elseif string.match(head, '^l %w+ %d+$') then
    answer[i] = 'l'
  else
    local set = redis.pcall('SET', key, 'l ' .. ARGV[1] .. ' 0', 'PX', ARGV[2])
    answer[i] = set.ok and '' or 'l'
    if not set.ok then redis.call('DEL', key) end
  end
end
return answer
`;

/** ARGV: life times of a document and of one that says there is no such user, in ms; then for each user token, generation, version, row. */
export const fillScript = `${headOf}
for i = 1, #KEYS do
  local key, at = KEYS[i], 4 * i - 1
  local token, generation, version, row = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local held, least = string.match(headOf(key), '^l (%w+) (%d+)$')
  if held == token then
    local set
    if tonumber(version) >= tonumber(least) then
      local forMs = version == '0' and ARGV[2] or ARGV[1]
      set = redis.pcall('SET', key, 'd ' .. generation .. ' ' .. version .. ' ' .. row, 'PX', forMs)
    end
    if not (set and set.ok) then redis.call('DEL', key) end
  end
end
`;

/** ARGV: life time of a document in ms, channel, message; then for each user version and row. */
export const writeScript = `${headOf}
for i = 1, #KEYS do
  local key, version, row = KEYS[i], ARGV[2 * i + 2], ARGV[2 * i + 3]
  local head = version == '0' and '' or headOf(key)
  local generation, held = string.match(head, '^d (%w+) (%d+) ')
  local token, least = string.match(head, '^l (%w+) (%d+)$')
  local set = {ok = true}
  if generation then
    if tonumber(held) < tonumber(version) then
      set = redis.pcall('SET', key, 'd ' .. generation .. ' ' .. version .. ' ' .. row, 'PX', ARGV[1])
    end
  elseif token then
    if tonumber(least) < tonumber(version) then
      set = redis.pcall('SET', key, 'l ' .. token .. ' ' .. version, 'KEEPTTL')
    end
  elseif version == '0' or head ~= '' then
    set = {}
  end
  if not set.ok then redis.call('DEL', key) end
end
redis.call('PUBLISH', ARGV[2], ARGV[3])
`;

/**
 * ARGV: sender, channel, message, candidate, what it replaces, silence in ms after which a sender is lost, dead senders. Answers the generation, or
 * "", and 1 where nothing may be added: a server that evicts nothing, the inbox's perhaps, must not be filled up by what can be read elsewhere.
 */
export const beatScript = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
local registry = {}
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do registry[fields[i]] = fields[i + 1] end
local g = registry.g
local isDue = not g or registry.r ~= run or g == ARGV[5]
local isFull = false
local function set(...)
  local answer = redis.pcall('HSET', KEYS[1], ...)
  if type(answer) == 'table' and answer.err then isFull = true end
end
for i = 7, #ARGV do
  local field = 's:' .. ARGV[i]
  if registry[field] then
    redis.call('HDEL', KEYS[1], field)
    registry[field] = nil
    isDue = true
  end
end
for field, value in pairs(registry) do
  local sender = string.match(field, '^s:(%w+)$')
  if sender and sender ~= ARGV[1] then
    local at, doubted = string.match(value, '^(%d+) (%d)$')
    local silent = now - (tonumber(at) or 0)
    if silent > ARGV[6] * 6 then
      redis.call('HDEL', KEYS[1], field)
      isDue = true
    elseif silent > tonumber(ARGV[6]) and doubted == '0' then
      set(field, at .. ' 1')
      isDue = true
    end
  end
end
if isDue then
  g = ARGV[4]
  set('g', g, 'r', run)
end
set('s:' .. ARGV[1], now .. ' 0')
if isFull then
  redis.call('DEL', KEYS[1])
  g = ''
end
redis.call('PUBLISH', ARGV[2], ARGV[3] .. g)
local memory = redis.call('INFO', 'memory')
local most = tonumber(string.match(memory, '[\\r\\n]maxmemory:(%d+)') or 0)
local used = tonumber(string.match(memory, 'used_memory:(%d+)') or 0)
local keepsAll = string.find(memory, 'maxmemory_policy:noeviction', 1, true)
return {g, keepsAll and most > 0 and used > 0.7 * most and 1 or 0}
`;

/** ARGV: sender, channel, message. */
export const leaveScript = `
redis.call('HDEL', KEYS[1], 's:' .. ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
`;
