-- Empties a topic, which begins another life, and tells everyone who listens.
--
-- ARGV[5] the channel; ARGV[6] PUBLISH or SPUBLISH. Returns "<epoch> 0", or null if there is no such topic.

local state, refused = open()
refused = refused or forbidden(ARGV[6], ARGV[5])
if refused then
  return refused
end
if state.new and call('EXISTS', STATE) == 0 then
  return false
end
local fresh, now, age = ARGV[2], clock(), tonumber(ARGV[3])
local kept = age + math.floor(age / 8) + ARGV[4]
call('DEL', LOG)
call('HSET', STATE, 'life', ARGV[1], 'epoch', fresh, 'terms', fresh .. ' 1', 'sequence', '0', 'bytes', '0',
  'trimmed', '0', 'renewed', '0')
call('PEXPIRE', STATE, text(kept))
call(ARGV[6], ARGV[5], fresh .. ' 0\n')
return fresh .. ' 0'
