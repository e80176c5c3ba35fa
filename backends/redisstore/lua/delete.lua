-- delete removes a key.
--
-- keys:    the session
-- args:    token, key
-- answers: 0 gone, 1 done, 3 another life
--include guard
redis.call('HDEL',KEYS[1],ARGV[2]) return 1
