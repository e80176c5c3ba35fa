-- touch writes without changing anything, so that WAIT has something to confirm:
-- newer servers take a script that wrote nothing for confirmed. The first HDEL
-- also keeps a server that is out of memory from refusing.
redis.call('HDEL',KEYS[1],'\0x')
redis.call('HSET',KEYS[1],'\0x','')
redis.call('HDEL',KEYS[1],'\0x')
