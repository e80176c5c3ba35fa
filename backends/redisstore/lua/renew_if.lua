-- renew_if does what renew does if the session has the expected values.
--
-- keys:    the session
-- args:    token, lease in milliseconds, then for each expected key its name, 1 or 0 for present
--          or absent, and its value
-- answers: 0 gone, 1 done, 3 another life, 4 other values
--include holds
--include guard
if not holds(3,(#ARGV-2)/3) then return 4 end
local lease=tonumber(ARGV[2])
if lease<=0 then return 1 end
if type(redis.pcall('PEXPIRE',KEYS[1],ARGV[2],'GT'))=='number' then return 1 end
if redis.call('PTTL',KEYS[1])<lease then redis.call('PEXPIRE',KEYS[1],ARGV[2]) end
return 1
