-- merged_set does what set does for many sessions.
--
-- keys:    the sessions
-- args:    for each session: token, key, value, most keys (0: no limit)
-- answers: a list: the number of the sessions, then the place and the answer of each that was
--          not simply done: 0 if the life has ended or a command failed before anything of that
--          session was written, 2 too many keys
--
-- Nothing else can fail.
--include too_many
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
