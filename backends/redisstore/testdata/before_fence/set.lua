local t=redis.call('HGET',KEYS[1],'\0t') if t~=ARGV[1] then return t and 3 or 0 end 
local k=KEYS[1]
if redis.call('HSET',k,ARGV[2],ARGV[3])==1 and ARGV[4]~='0' then
local function tooMany(k,most,key)
  local n=redis.pcall('HLEN',k)
  if type(n)~='number' or n-1<=most then return false end
  local c=redis.pcall('HEXISTS',k,'\0c')
  if type(c)~='number' or n-1-c<=most then return false end
  return type(redis.pcall('HDEL',k,key))=='number'
end

  if tooMany(k,tonumber(ARGV[4]),ARGV[2]) then return 2 end
end
return 1
