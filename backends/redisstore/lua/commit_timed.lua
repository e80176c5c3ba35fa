-- commit_timed is commit, and tells how long the session lives then.
--
-- keys:    the session
-- args:    those of commit
-- answers: 0 gone, 2 too many keys, 3 another life; or a list: the milliseconds when it is done, and
--          on a conflict the token, and the current values of the expected keys
--
-- It asks for the time first: what may not do that has written nothing.
local left=redis.call('PTTL',KEYS[1])
--include commit
return {tostring(left)}
