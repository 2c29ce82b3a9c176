/** Lua that every script of the inbox begins with: its arguments, one after another, and what a death does. */
export const common = `
local base = KEYS[1]
local at = 0
local function arg() at = at + 1; return ARGV[at] end
local function num() return tonumber(arg()) end
local function text(n) return string.format('%.0f', n) end
local function key(name) return base .. name end
local function bump(hash, field, by)
  if redis.call('HINCRBY', key(hash), field, by) <= 0 then redis.call('HDEL', key(hash), field) end
end
local function entry(k, seq) return redis.call('XRANGE', key('e' .. k), seq .. '-0', seq .. '-0')[1] end
local function forget(k, seqs)
  redis.call('HDEL', key('m' .. k), unpack(seqs))
  redis.call('HDEL', key('x' .. k), unpack(seqs))
end
local function bury(meta, body, now, err, attempts, sends, unknown)
  local id = redis.call('HINCRBY', key('next'), 'letter', 1)
  redis.call('XADD', key('letters'), text(id) .. '-0', 'm', meta, 'd', now, 'e', err, 'a', attempts, 's', sends, 'u', unknown, 't', body)
  bump('lettersOf', string.match(meta, '^%d+'), 1)
  return text(id)
end
local function die(k, seq, now, err, attempts, sends, unknown)
  local found = entry(k, seq)
  if not found then return end
  local meta = found[2][2]
  bury(meta, found[2][4], now, err, attempts, sends, unknown)
  redis.call('XDEL', key('e' .. k), seq .. '-0')
  forget(k, {seq})
  bump('backlog', string.match(meta, '^%d+'), -1)
end
`;
