-- merged_set does what set does for many sessions that may have the same number of keys.
--
-- keys:    the sessions
-- args:    most keys (0: no limit), then for each session: token, key, value
-- answers: a list: the number of the sessions, then the place and the answer of each that was
--          not simply done: 0 if the life has ended or a command failed before anything of that
--          session was written, 2 too many keys
--
-- Nothing else can fail.
--include too_many
local call,most,bad=redis.pcall,tonumber(ARGV[1]),{#KEYS}
for i=1,#KEYS do
  local k,at=KEYS[i],3*i
  local n,answer=call('HGET',k,'\0t'),1
  if n==ARGV[at-1] then
    n=call('HSET',k,ARGV[at],ARGV[at+1])
    if type(n)=='table' then
      answer=0
    elseif n==1 and most~=0 and tooMany(k,most,ARGV[at]) then
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
