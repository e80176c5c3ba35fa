-- destroy_if ends a life that has exactly the given values.
--
-- keys:    the session
-- args:    token, number of keys, then key and value alternating
-- answers: 0 gone, 1 done, 3 another life, 4 other values
--
-- The fields that begin with NUL are not keys.
--include guard
local k,n=KEYS[1],0
for _,f in ipairs(redis.call('HKEYS',k)) do
  if string.byte(f,1)~=0 then n=n+1 end
end
if n~=tonumber(ARGV[2]) then return 4 end
for at=3,#ARGV,2 do
  if redis.call('HGET',k,ARGV[at])~=ARGV[at+1] then return 4 end
end
redis.call('UNLINK',k)
return 1
