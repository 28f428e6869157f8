-- Looks what there is of a topic, which begins if it was not there.
--
-- ARGV[5] the first message wanted, 0: the last ARGV[6], as many as are retained; ARGV[7] messages of a page at most;
-- ARGV[8] bytes of a page, at least one message. Returns the terms, the last sequence, the time, and the messages.

if new then
  call('DEL', LOG)
end
if changed then
  call('HSET', STATE, 'life', ARGV[1], 'epoch', epoch, 'terms', terms, 'sequence', format('%.0f', sequence),
    'bytes', format('%.0f', bytes), 'trimmed', format('%.0f', trimmed), 'renewed', format('%.0f', renewed))
end
-- A topic that is read is in use. Its log is not: messages do not grow younger. So `renewed`, which says when the log's
-- end was put off, stays. The end of the state is only ever put off.
local kept = age + math.floor(age / 8) + ARGV[4]
if call('PTTL', STATE) < kept - age / 8 then
  call('PEXPIRE', STATE, format('%.0f', kept))
end
local page = { terms or call('HGET', STATE, 'terms'), format('%.0f', sequence), format('%.0f', now) }
local from = tonumber(ARGV[5])
if from == 0 then
  from = math.max(1, sequence - ARGV[6] + 1)
end
local left, room, step = tonumber(ARGV[7]), tonumber(ARGV[8]), 4
while left > 0 and from <= sequence do
  -- In steps that grow: nobody knows how large messages are before they were read.
  local entries = call('XRANGE', LOG, format('%.0f', from) .. '-0', '+', 'COUNT', math.min(step, left))
  for _, entry in ipairs(entries) do
    local fields = entry[2]
    room = room - #fields[4]
    if room < 0 and #page > 3 then
      return page
    end
    local number = string.match(entry[1], '^%d+')
    page[#page + 1] = { number, fields[2], fields[4] }
    from = number + 1
    left = left - 1
  end
  if #entries == 0 then
    break
  end
  step = step * 2
end
return page
