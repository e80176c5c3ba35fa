-- merged_renew_if does what renew_if does for many sessions of which the same keys are expected.
--
-- keys:    the sessions
-- args:    lease in milliseconds, the number of keys expected of each session, their names, then
--          for each session its token, a 1 or 0 for each key in one string, and the values
-- answers: a list: the number of the sessions, then the places of those that were not renewed
local call,lease,nf,gt,bad=redis.pcall,tonumber(ARGV[1]),tonumber(ARGV[2]),true,{#KEYS}
local byte=string.byte
local names={'\0t',unpack(ARGV,3,2+nf)}
local at=3+nf
for i=1,#KEYS do
  local k=KEYS[i]
  local v=call('HMGET',k,unpack(names))
  local done=v[1]==ARGV[at]
  local flags=ARGV[at+1]
  for j=1,nf do
    if byte(flags,j)==49 then
      if v[j+1]~=ARGV[at+1+j] then done=false end
    elseif v[j+1] then
      done=false
    end
  end
  at=at+2+nf
  --include lengthen
end
return bad
