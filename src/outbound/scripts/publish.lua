-- Gives a message its place in a topic, and tells it to everyone who listens.
--
-- KEYS[3] the publisher's name for this publish, if it has one. ARGV[5] the record; ARGV[6] messages retained at most;
-- ARGV[7] their bytes; ARGV[8] what this one is counted as; ARGV[9] the channel; ARGV[10] PUBLISH or SPUBLISH;
-- ARGV[11] milliseconds that the name is remembered. Returns "<epoch> <sequence>".

if KEYS[3] then
  local before = call('GET', KEYS[3])
  if before then
    -- Written again as it is: WAIT, which may follow, waits for what this connection has written.
    redis.pcall('SET', KEYS[3], before, 'KEEPTTL')
    return before
  end
end
local state, refused = open()
refused = refused or forbidden(ARGV[10], ARGV[9])
if refused then
  return refused
end
local now, age = clock(), tonumber(ARGV[3])
if state.new then
  call('DEL', LOG)
end
local sequence = text(state.sequence + 1)
local bytes = state.bytes + ARGV[8]
call('XADD', LOG, 'MAXLEN', '~', ARGV[6], sequence .. '-0', 't', text(now), 'm', ARGV[5], 'b', text(state.bytes))
if state.changed then
  call('HSET', STATE, 'life', ARGV[1], 'epoch', state.epoch, 'terms', state.terms,
    'sequence', sequence, 'bytes', text(bytes), 'trimmed', text(state.trimmed))
else
  call('HSET', STATE, 'sequence', sequence, 'bytes', text(bytes))
end
-- Drops the oldest until what is left is within the bound. What MAXLEN has dropped is found out here, no sooner.
local most = tonumber(ARGV[7])
if bytes - state.trimmed > most then
  local from, dropped, trimmed = '-', 0, nil
  repeat
    local oldest = call('XRANGE', LOG, from, '+', 'COUNT', 16)
    for _, entry in ipairs(oldest) do
      local before = tonumber(entry[2][6])
      -- The newest message stays, whatever its size.
      if bytes - before <= most or entry[1] == sequence .. '-0' then
        trimmed = before
        break
      end
      dropped = dropped + 1
      from = text(string.match(entry[1], '^%d+') + 1) .. '-0'
    end
  until trimmed or #oldest == 0
  if dropped > 0 then
    call('XTRIM', LOG, 'MAXLEN', text(call('XLEN', LOG) - dropped))
  end
  call('HSET', STATE, 'trimmed', text(trimmed or state.bytes))
end
-- Kept as long as there may be a message that is retained; written down now and then only.
if now - state.renewed > age / 8 or now < state.renewed then
  local kept = age + math.floor(age / 8)
  call('PEXPIRE', LOG, text(kept))
  call('PEXPIRE', STATE, text(kept + ARGV[4]))
  call('HSET', STATE, 'renewed', text(now))
end
local position = state.epoch .. ' ' .. sequence
if KEYS[3] then
  call('SET', KEYS[3], position, 'PX', ARGV[11])
end
-- Last: who is refused here has published all the same, and finds that out when he tries again under this name.
call(ARGV[10], ARGV[9], position .. '\n' .. ARGV[5])
return position
