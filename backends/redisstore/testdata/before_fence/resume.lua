
local k=KEYS[1]
local t=redis.call('HGET',k,'\0t')
if not t then return 0 end
if t~=ARGV[1] and t~=ARGV[3] then return {ARGV[1],t} end
redis.call('HDEL',k,'\0r')
redis.call('HSET',k,'\0t',ARGV[1])
if t==ARGV[1] then return 1 end
local expiry=redis.pcall('PEXPIRE',k,ARGV[2])
if type(expiry)=='table' then
  redis.call('HSET',k,'\0t',t)
  return expiry
end
return 1
