-- remove takes members off a list.
--
-- keys:    the list
-- args:    the members
-- answers: 1 done
for i=1,#ARGV do redis.call('ZREM',KEYS[1],ARGV[i]) end return 1
