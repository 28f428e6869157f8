-- Empties a topic, which begins another life, and tells everyone who listens.
--
-- ARGV[5] the channel; ARGV[6] PUBLISH or SPUBLISH. Returns "<epoch> 0", or null if there is no such topic.

if redis.acl_check_cmd and not redis.acl_check_cmd(ARGV[6], ARGV[5], '') then
  return redis.error_reply('NOPERM this user may not publish to the channel ' .. ARGV[5])
end
if new and call('EXISTS', STATE) == 0 then
  return false
end
local fresh = ARGV[2]
call('DEL', LOG)
call('HSET', STATE, 'life', ARGV[1], 'epoch', fresh, 'terms', fresh .. ' 1', 'sequence', '0', 'bytes', '0',
  'trimmed', '0', 'renewed', '0')
call('PEXPIRE', STATE, format('%.0f', age + math.floor(age / 8) + ARGV[4]))
call(ARGV[6], ARGV[5], fresh .. ' 0\n')
return fresh .. ' 0'
