-- commit writes the values that are to be set and deleted, if the keys have those that are expected:
-- token, most keys, nonce, number of expected keys, number of keys to set, and what they are. It
-- answers otherwise.
--
-- What only deletes frees memory and is not refused for want of it. Its mark is written last,
-- and only a caller whose reply was lost misses it.
--include slices
--include guard
local k,ne,ns=KEYS[1],tonumber(ARGV[4]),tonumber(ARGV[5])
local current,holds={t},true
for i=1,ne do
  local at=3+3*i
  local v=redis.call('HGET',k,ARGV[at])
  current[i+1]=v
  if ARGV[at+1]=='1' then
    if v~=ARGV[at+2] then holds=false end
  elseif v then
    holds=false
  end
end
if not holds then return current end
local sets=6+3*ne
local dels=sets+2*ns
local limit=tonumber(ARGV[2])
if limit>0 and ns>0 then
  local growth=0
  for at=sets,dels-1,2 do growth=growth+1-redis.call('HEXISTS',k,ARGV[at]) end
  for at=dels,#ARGV do growth=growth-redis.call('HEXISTS',k,ARGV[at]) end
  local n=growth>0 and redis.call('HLEN',k)+growth or 0
  if n-1>limit then
    local names=redis.call('HKEYS',k)
    for i=1,#names do
      if string.byte(names[i])==0 then n=n-1 end
    end
    if n>limit then return 2 end
  end
end
if ns>0 then
  if dels<=#ARGV then
    redis.call('HSET',k,'\0t',ARGV[1])
    redis.call('HDEL',k,'\0x')
  end
  store('\0c',ARGV[3],sets,dels-1)
end
slices(redis.call,'HDEL',dels,#ARGV)
if ns==0 and dels<=#ARGV then redis.pcall('HSET',k,'\0c',ARGV[3]) end
