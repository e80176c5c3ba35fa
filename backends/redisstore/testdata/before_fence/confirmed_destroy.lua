
if redis.call('HGET',KEYS[1],'\0t')==ARGV[1] then
  redis.call('UNLINK',KEYS[1])
else
redis.call('HDEL',KEYS[1],'\0r')
redis.call('HSET',KEYS[1],'\0r','')
redis.call('HDEL',KEYS[1],'\0r')
end
return 1
