-- resume begins a new life of a session.
--
-- keys:    the session
-- args:    new token, lease in milliseconds, the token that was seen, the name of the field that
--          fences the new life ("": none)
-- answers: 0 gone, 1 done; or a list when another life has begun since: the new token, and the
--          token of that life
--
-- One that arrives late finds a token that it does not expect, or its own.
--
-- The fence of the life before goes in the same step. HDEL lets it go on where a server is out
-- of memory: it frees none but needs none.
--include stale
local k,name=KEYS[1],ARGV[4]
local t=redis.call('HGET',k,'\0t')
if not t then return 0 end
if t~=ARGV[1] and t~=ARGV[3] then return {ARGV[1],t} end
redis.call('HDEL',k,'\0x')
if t==ARGV[1] then
  redis.call('HSET',k,'\0t',t)
  return 1
end
local fenced,old=redis.call('HEXISTS',k,'\0r')==1,{}
if fenced then
  old[1]='\0L'..t
  if name=='' then old[2]='\0r' end
elseif name~='' then
  old=stale(k,name)
end
if name~='' then
  redis.call('HSET',k,'\0t',ARGV[1],'\0r','',name,'')
else
  redis.call('HSET',k,'\0t',ARGV[1])
end
local expiry=redis.pcall('PEXPIRE',k,ARGV[2])
if type(expiry)=='table' then
  redis.call('HSET',k,'\0t',t)
  if name~='' then redis.call('HDEL',k,name) end
  if not fenced then redis.call('HDEL',k,'\0r') end
  return expiry
end
for i=1,#old do redis.call('HDEL',k,old[i]) end
return 1
