-- create begins the first life of a session.
--
-- keys:    the session
-- args:    new token, lease in milliseconds, then key and value alternating, the fields of the
--          fence among them
-- answers: 0 it lives already, 1 done, 5 a hash that is no session
--
-- HLEN also finds, and refuses, what is not a session.
--include slices
local k=KEYS[1]
if redis.call('HLEN',k)>0 then return redis.call('HEXISTS',k,'\0t')==1 and 0 or 5 end
store('\0t',ARGV[1],3,#ARGV)
local expiry=redis.pcall('PEXPIRE',k,ARGV[2])
if type(expiry)=='table' then
  if type(redis.pcall('UNLINK',k))=='table' then
    redis.pcall('HDEL',k,'\0t')
    for at=3,#ARGV,2 do redis.pcall('HDEL',k,ARGV[at]) end
  end
  return expiry
end
return 1
