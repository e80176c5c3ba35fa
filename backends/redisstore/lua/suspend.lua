-- suspend makes a session live for exactly the grace from now.
--
-- keys:    the session
-- args:    token, grace in milliseconds
-- answers: 0 gone, 1 done, 3 another life
--include guard
redis.call('PEXPIRE',KEYS[1],ARGV[2]) return 1
