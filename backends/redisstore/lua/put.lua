-- put makes members of a list stay.
--
-- keys:    the list
-- args:    time to stay in milliseconds, then the members
-- answers: 1 done
--
-- It begins with what frees memory, so that a server that is out of memory still takes the
-- entries of sessions that live. What it adds is taken back where the expiry cannot be set.
--include clock
local k,ttl,now=KEYS[1],tonumber(ARGV[1]),clock()
redis.call('ZREMRANGEBYSCORE',k,'-inf',now)
for i=2,#ARGV do redis.call('ZADD',k,'GT',now+ttl,ARGV[i]) end
local left=redis.pcall('PTTL',k)
if type(left)=='number' and left>=ttl then return 1 end
local expiry=left
if type(left)=='number' then expiry=redis.pcall('PEXPIRE',k,ARGV[1]) end
if type(expiry)=='table' then
  for i=2,#ARGV do redis.pcall('ZREM',k,ARGV[i]) end
  return expiry
end
return 1
