-- guard refuses a script when the life of its token, the first argument, has ended. Then t is
-- the token of the life that goes on.
local t=redis.call('HGET',KEYS[1],'\0t') if t~=ARGV[1] then return t and 3 or 0 end
