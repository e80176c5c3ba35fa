-- merged_renew does what renew does for many sessions.
--
-- keys:    the sessions
-- args:    lease in milliseconds, then the token of each session
-- answers: a list: the number of the sessions, then the places of those that were not renewed
local call,lease,gt,bad=redis.pcall,tonumber(ARGV[1]),true,{#KEYS}
for i=1,#KEYS do
  local k=KEYS[i]
  local done=call('HGET',k,'\0t')==ARGV[i+1]
  if done and gt then gt=type(call('PEXPIRE',k,ARGV[1],'GT'))=='number' end
  if done and not gt then
    local left=call('PTTL',k)
    if type(left)~='number' then
      done=false
    elseif left<lease then
      done=call('PEXPIRE',k,ARGV[1])==1
    end
  end
  if not done then bad[#bad+1]=i end
end
return bad
