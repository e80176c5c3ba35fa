local t=redis.call('HGET',KEYS[1],'\0t') if t~=ARGV[1] then return t and 3 or 0 end if redis.call('HDEL',KEYS[1],ARGV[2])==0 then
redis.call('HDEL',KEYS[1],'\0r')
redis.call('HSET',KEYS[1],'\0r','')
redis.call('HDEL',KEYS[1],'\0r')
end return 1
