-- renew makes a session live for at least the lease from now. It never shortens a life.
--
-- keys:    the session
-- args:    token, lease in milliseconds
-- answers: 0 gone, 1 done, 3 another life
--
-- Redis 6 has no GT, and goes the longer way.
--include guard
if type(redis.pcall('PEXPIRE',KEYS[1],ARGV[2],'GT'))=='number' then return 1 end
if redis.call('PTTL',KEYS[1])<tonumber(ARGV[2]) then redis.call('PEXPIRE',KEYS[1],ARGV[2]) end
return 1
