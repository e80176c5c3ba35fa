-- write stores a value: token, key, value, most keys (0: no limit).
local k=KEYS[1]
if redis.call('HSET',k,ARGV[2],ARGV[3])==1 and ARGV[4]~='0' then
--include too_many
  if tooMany(k,tonumber(ARGV[4]),ARGV[2]) then return 2 end
end
