-- What all scripts begin with: a topic's state, and which life of Redis it is.
--
-- KEYS[1] the topic's state, a hash; KEYS[2] its log, a stream.
-- ARGV[1] the life of Redis that the caller knows; ARGV[2] an epoch that was never used; ARGV[3] milliseconds that a
-- message is retained; ARGV[4] milliseconds that a topic without messages is remembered.
--
-- Nothing is written before everything was looked at: a script that fails half way leaves what it wrote.
-- Locals and no functions: a function is made anew each time, and this is what each publish costs Redis.

local call, format = redis.call, string.format
local STATE, LOG = KEYS[1], KEYS[2]

local found = call('HMGET', STATE, 'life', 'epoch', 'sequence', 'bytes', 'trimmed', 'renewed')
local epoch, sequence = found[2], tonumber(found[3])
local bytes, trimmed, renewed = tonumber(found[4]), tonumber(found[5]), tonumber(found[6])
-- Whether a term begins; whether the topic does; the terms, if one begins.
local changed, new, terms = false, false, nil

if found[1] ~= ARGV[1] or not sequence or sequence >= 9007199254740991 then
  -- Read from Redis itself, which is slow, and only needed when lives differ.
  local server, replication = call('INFO', 'server'), call('INFO', 'replication')
  local life = string.sub(string.match(server, 'run_id:(%x+)') or '', 1, 12)
    .. string.sub(string.match(replication, 'master_replid:(%x+)') or '', 1, 12)
  if life ~= ARGV[1] then
    return redis.error_reply('STALELIFE Redis has begun another life')
  end
  changed, epoch = true, ARGV[2]
  if not sequence or sequence >= 9007199254740991 then
    new, terms = true, epoch .. ' 1'
    sequence, bytes, trimmed, renewed = 0, 0, 0, 0
  else
    terms = call('HGET', STATE, 'terms') .. ' ' .. epoch .. ' ' .. format('%.0f', sequence + 1)
    local _, spaces = string.gsub(terms, ' ', ' ')
    if spaces > 31 then
      terms = string.gsub(terms, '^%S+ %S+ ', '')
    end
  end
end
local time, age = call('TIME'), tonumber(ARGV[3])
local now = time[1] * 1000 + math.floor(time[2] / 1000)
