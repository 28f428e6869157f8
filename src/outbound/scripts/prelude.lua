-- What all scripts begin with: a topic's state, and which life of Redis it is.
--
-- KEYS[1] the topic's state, a hash; KEYS[2] its log, a stream.
-- ARGV[1] the life of Redis that the caller knows; ARGV[2] an epoch that was never used; ARGV[3] milliseconds that a
-- message is retained; ARGV[4] milliseconds that a topic without messages is remembered.
--
-- Nothing is written before everything was looked at: a script that fails half way leaves what it wrote.

local call = redis.call
local STATE, LOG = KEYS[1], KEYS[2]

local function text(number)
  return string.format('%.0f', number)
end

local function clock()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Why the caller may not publish to a channel, if so; asked before anything is written. (Redis 6 cannot say: there a script
-- that is refused has written what it has written.)
local function forbidden(command, channel)
  if redis.acl_check_cmd and not redis.acl_check_cmd(command, channel, '') then
    return redis.error_reply('NOPERM this user may not publish to the channel ' .. channel)
  end
end

-- Read from Redis itself, which is slow, and only needed when lives differ.
local function true_life()
  local server, replication = call('INFO', 'server'), call('INFO', 'replication')
  return string.sub(string.match(server, 'run_id:(%x+)') or '', 1, 12)
    .. string.sub(string.match(replication, 'master_replid:(%x+)') or '', 1, 12)
end

-- The topic's state; `changed` when a term begins, `new` when the topic does. Or nil and an error.
local function open()
  local found = call('HMGET', STATE, 'life', 'epoch', 'sequence', 'terms', 'bytes', 'trimmed', 'renewed')
  local sequence = tonumber(found[3])
  if found[1] == ARGV[1] and sequence and sequence < 9007199254740991 then
    return {
      epoch = found[2], sequence = sequence, terms = found[4],
      bytes = tonumber(found[5]), trimmed = tonumber(found[6]), renewed = tonumber(found[7])
    }
  end
  if ARGV[1] ~= true_life() then
    return nil, redis.error_reply('STALELIFE Redis has begun another life')
  end
  local fresh = ARGV[2]
  if not sequence or sequence >= 9007199254740991 then
    return {
      epoch = fresh, sequence = 0, terms = fresh .. ' 1', bytes = 0, trimmed = 0, renewed = 0,
      changed = true, new = true
    }
  end
  local terms = found[4] .. ' ' .. fresh .. ' ' .. text(sequence + 1)
  local _, words = string.gsub(terms, ' ', ' ')
  if words > 31 then
    terms = string.gsub(terms, '^%S+ %S+ ', '')
  end
  return {
    epoch = fresh, sequence = sequence, terms = terms,
    bytes = tonumber(found[5]), trimmed = tonumber(found[6]), renewed = tonumber(found[7]), changed = true
  }
end
