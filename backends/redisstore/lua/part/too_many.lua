-- tooMany takes a new key away again if the session may not have so many. Fields
-- that are not keys are counted only where there are so many that it matters.
local function tooMany(k,most,key)
  local n=redis.pcall('HLEN',k)
  if type(n)~='number' or n-1<=most then return false end
  local names=redis.pcall('HKEYS',k)
  if names.err then return false end
  for i=1,#names do
    if string.byte(names[i])==0 then n=n-1 end
  end
  if n<=most then return false end
  return type(redis.pcall('HDEL',k,key))=='number'
end
