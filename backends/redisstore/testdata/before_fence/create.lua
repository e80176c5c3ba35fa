
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

local k=KEYS[1]
if redis.call('HLEN',k)>0 then return 0 end
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
