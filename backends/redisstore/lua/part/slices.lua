-- Lua 5.1 gives a call at most 8000 arguments, so long lists go in slices. A
-- multiple of two keeps each field with its value. The Lua 5.4 of Dragonfly, which
-- looks at its memory before every HSET, takes them in one.
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
