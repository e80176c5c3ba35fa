-- lengthen makes the session k live for at least the lease if it is done so far, within a loop over
-- many, and notes the place of one that is not. Without GT, as on Redis 6, it goes the longer way.
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
