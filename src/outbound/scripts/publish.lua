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
-- Asked before anything is written. (Redis 6 cannot say: there a script that is refused has written what it has written.)
if redis.acl_check_cmd and not redis.acl_check_cmd(ARGV[10], ARGV[9], '') then
  return redis.error_reply('NOPERM this user may not publish to the channel ' .. ARGV[9])
end
if new then
  call('DEL', LOG)
end
local number, before, after = format('%.0f', sequence + 1), format('%.0f', bytes), bytes + ARGV[8]
local id = number .. '-0'
call('XADD', LOG, 'MAXLEN', '~', ARGV[6], id, 't', format('%.0f', now), 'm', ARGV[5], 'b', before)
if changed then
  call('HSET', STATE, 'life', ARGV[1], 'epoch', epoch, 'terms', terms,
    'sequence', number, 'bytes', format('%.0f', after), 'trimmed', format('%.0f', trimmed))
else
  call('HSET', STATE, 'sequence', number, 'bytes', format('%.0f', after))
end
-- Drops the oldest until what is left is within the bound. What MAXLEN has dropped is found out here, no sooner.
local most = tonumber(ARGV[7])
if after - trimmed > most then
  local from, dropped, kept_from = '-', 0, nil
  repeat
    local oldest = call('XRANGE', LOG, from, '+', 'COUNT', 16)
    for _, entry in ipairs(oldest) do
      local bytes_before = tonumber(entry[2][6])
      -- The newest message stays, whatever its size.
      if after - bytes_before <= most or entry[1] == id then
        kept_from = bytes_before
        break
      end
      dropped = dropped + 1
      from = format('%.0f', string.match(entry[1], '^%d+') + 1) .. '-0'
    end
  until kept_from or #oldest == 0
  if dropped > 0 then
    call('XTRIM', LOG, 'MAXLEN', format('%.0f', call('XLEN', LOG) - dropped))
  end
  call('HSET', STATE, 'trimmed', format('%.0f', kept_from or bytes))
end
-- Kept as long as there may be a message that is retained; written down now and then only.
if now - renewed > age / 8 or now < renewed then
  local kept = age + math.floor(age / 8)
  call('PEXPIRE', LOG, format('%.0f', kept))
  call('PEXPIRE', STATE, format('%.0f', kept + ARGV[4]))
  call('HSET', STATE, 'renewed', format('%.0f', now))
end
local position = epoch .. ' ' .. number
call(ARGV[10], ARGV[9], position .. '\n' .. ARGV[5])
if KEYS[3] then
  call('SET', KEYS[3], position, 'PX', ARGV[11])
end
return position
