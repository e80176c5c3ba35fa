local t=redis.call('HGET',KEYS[1],'\0t') if t~=ARGV[1] then return t and 3 or 0 end 
if type(redis.pcall('PEXPIRE',KEYS[1],ARGV[2],'GT'))=='number' then return 1 end
if redis.call('PTTL',KEYS[1])<tonumber(ARGV[2]) then redis.call('PEXPIRE',KEYS[1],ARGV[2]) end
return 1
