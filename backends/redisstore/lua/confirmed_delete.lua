-- confirmed_delete removes a key, and writes in any case, for WAIT to confirm.
--
-- keys:    the session
-- args:    token, key
-- answers: 0 gone, 1 done, 3 another life
--include guard
if redis.call('HDEL',KEYS[1],ARGV[2])==0 then
--include touch
end return 1
