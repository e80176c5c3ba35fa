-- keys lists the fields of a session.
--
-- keys:    the session
-- args:    token
-- answers: 0 gone, 3 another life; or a list: the names of the fields
--include guard
return redis.call('HKEYS',KEYS[1])
