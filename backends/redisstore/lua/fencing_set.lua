-- fencing_set does what set does, and makes the fence of this life where there is none.
--
-- keys:    the session
-- args:    token, key, value, most keys (0: no limit), the name of the field that fences this
--          life
-- answers: 0 gone, 1 done, 2 too many keys, 3 another life
--
-- There is no fence where the session was begun by the layout before, or where a process of
-- that has resumed it. The value is written in any case.
--include stale
--include guard
--include write
local has=redis.pcall('HMGET',k,'\0r',ARGV[5])
if has.err or has[1] and has[2] then return 1 end
local ok,old=pcall(stale,k,ARGV[5])
if not ok then return 1 end
for i=1,#old do
  if type(redis.pcall('HDEL',k,old[i]))~='number' then return 1 end
end
redis.pcall('HSET',k,'\0r','',ARGV[5],'')
return 1
