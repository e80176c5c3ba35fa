-- confirmed_destroy ends a life, and writes in any case.
--
-- keys:    the session
-- args:    token
-- answers: 1 done
--
-- So WAIT also confirms a life that an earlier, unconfirmed attempt has ended.
if redis.call('HGET',KEYS[1],'\0t')==ARGV[1] then
  redis.call('UNLINK',KEYS[1])
else
--include touch
end
return 1
