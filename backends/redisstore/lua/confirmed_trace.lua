-- confirmed_trace reads what a write leaves behind, for WAIT to confirm.
--
-- keys:    the session
-- args:    token
-- answers: a list: the token and the mark of the last commit
--include touch
return redis.call('HMGET',KEYS[1],'\0t','\0c')
