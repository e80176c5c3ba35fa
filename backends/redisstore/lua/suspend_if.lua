-- suspend_if does what suspend does if the session has the expected values.
--
-- keys:    the session
-- args:    token, grace in milliseconds, then for each expected key its name, 1 or 0 for present
--          or absent, and its value
-- answers: 0 gone, 1 done, 3 another life, 4 other values
--include holds
--include guard
if not holds(3,(#ARGV-2)/3) then return 4 end
redis.call('PEXPIRE',KEYS[1],ARGV[2])
return 1
