
local most=table.unpack and 500000 or 6000
local function slices(call,cmd,from,to)
  while from<=to do
    local last=math.min(from+most-1,to)
    call(cmd,KEYS[1],unpack(ARGV,from,last))
    from=last+1
  end
end
local function store(field,value,from,to)
  local last=math.min(from+most-1,to)
  redis.call('HSET',KEYS[1],field,value,unpack(ARGV,from,last))
  slices(redis.call,'HSET',last+1,to)
end
local t=redis.call('HGET',KEYS[1],'\0t') if t~=ARGV[1] then return t and 3 or 0 end 
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
  local n=redis.call('HLEN',k)-1-redis.call('HEXISTS',k,'\0c')
  if growth>0 and n+growth>limit then return 2 end
end
if ns>0 then
  if dels<=#ARGV then
    redis.call('HSET',k,'\0t',ARGV[1])
    redis.call('HDEL',k,'\0r')
  end
  store('\0c',ARGV[3],sets,dels-1)
end
slices(redis.call,'HDEL',dels,#ARGV)
if ns==0 and dels<=#ARGV then redis.pcall('HSET',k,'\0c',ARGV[3]) end
return 1
