local t=redis.call('HGET',KEYS[1],'\0t') if t~=ARGV[1] then return t and 3 or 0 end return redis.call('HKEYS',KEYS[1])
