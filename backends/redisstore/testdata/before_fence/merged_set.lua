
local function tooMany(k,most,key)
  local n=redis.pcall('HLEN',k)
  if type(n)~='number' or n-1<=most then return false end
  local c=redis.pcall('HEXISTS',k,'\0c')
  if type(c)~='number' or n-1-c<=most then return false end
  return type(redis.pcall('HDEL',k,key))=='number'
end

local call,bad=redis.pcall,{#KEYS}
for i=1,#KEYS do
  local k,at=KEYS[i],4*i
  local n,answer=call('HGET',k,'\0t'),1
  if n==ARGV[at-3] then
    n=call('HSET',k,ARGV[at-2],ARGV[at-1])
    if type(n)=='table' then
      answer=0
    elseif n==1 and ARGV[at]~='0' and tooMany(k,tonumber(ARGV[at]),ARGV[at-2]) then
      answer=2
    end
  else
    answer=0
  end
  if answer~=1 then
    bad[#bad+1]=i
    bad[#bad+1]=answer
  end
end
return bad
