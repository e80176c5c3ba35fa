
redis.call('HDEL',KEYS[1],'\0r')
redis.call('HSET',KEYS[1],'\0r','')
redis.call('HDEL',KEYS[1],'\0r')
return redis.call('HMGET',KEYS[1],'\0t','\0c')
