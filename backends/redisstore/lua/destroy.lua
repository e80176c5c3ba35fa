-- destroy ends a life.
--
-- keys:    the session
-- args:    token
-- answers: 0 gone, 1 done, 3 another life
--include guard
redis.call('UNLINK',KEYS[1]) return 1
