-- merged_renew does what renew does for many sessions.
--
-- keys:    the sessions
-- args:    lease in milliseconds, then the token of each session
-- answers: a list: the number of the sessions, then the places of those that were not renewed
local call,lease,gt,bad=redis.pcall,tonumber(ARGV[1]),true,{#KEYS}
for i=1,#KEYS do
  local k=KEYS[i]
  local done=call('HGET',k,'\0t')==ARGV[i+1]
  --include lengthen
end
return bad
