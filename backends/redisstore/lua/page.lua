-- page lists members of a list whose time has not come.
--
-- keys:    the list
-- args:    cursor, about how many members
-- answers: a list: the next cursor, then members
--include clock
local now=clock()
local page=redis.call('ZSCAN',KEYS[1],ARGV[1],'COUNT',ARGV[2])
local reply={page[1]}
for i=1,#page[2],2 do
  if tonumber(page[2][i+1])>now then reply[#reply+1]=page[2][i] end
end
return reply
