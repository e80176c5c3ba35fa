-- time_left tells how long a session has yet.
--
-- keys:    the session
-- args:    token
-- answers: 0 gone, 3 another life; or a list: the milliseconds
--include guard
return {tostring(redis.call('PTTL',KEYS[1]))}
