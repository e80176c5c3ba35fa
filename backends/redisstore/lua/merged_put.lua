-- merged_put makes one member of each of many lists stay.
--
-- keys:    the lists
-- args:    time to stay in milliseconds, then the member of each list
-- answers: a list: the number of the lists, then the places of those that were not written
--
-- A server that is out of memory looks at that only before the first write of a script, which
-- here changes nothing.
--include clock
local call,ttl,now,gt,bad=redis.pcall,tonumber(ARGV[1]),clock(),true,{#KEYS}
local till=string.format('%.0f',now+ttl)
call('ZREM',KEYS[1],'')
local last
for i=1,#KEYS do
  local k=KEYS[i]
  local added=call('ZADD',k,'GT',till,ARGV[i+1])
  local done=type(added)=='number'
  -- The list before has its expiry. A member that was there is of a list with an expiry. Only then is GT right: a key without
  -- one is never given one by it.
  local set=done and k==last
  if done and not set and added==0 and gt then
    set=type(call('PEXPIRE',k,ARGV[1],'GT'))=='number'
    gt=set
  end
  if done and not set then
    call('ZREMRANGEBYSCORE',k,'-inf',now)
    local left=call('PTTL',k)
    if type(left)~='number' then
      done=false
    elseif left<ttl then
      done=call('PEXPIRE',k,ARGV[1])==1
    end
    if not done then call('ZREM',k,ARGV[i+1]) end
  end
  if not done then bad[#bad+1]=i end
  last=done and k or nil
end
return bad
