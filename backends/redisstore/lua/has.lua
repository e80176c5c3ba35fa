-- has reports whether a key has a value.
--
-- keys:    the session
-- args:    token, key
-- answers: 0 gone, 1 absent, 2 present, 3 another life
--include guard
return 1+redis.call('HEXISTS',KEYS[1],ARGV[2])
