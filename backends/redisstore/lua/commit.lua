-- commit writes several keys if others have the expected values.
--
-- keys:    the session
-- args:    token, most keys (0: no limit), nonce, number of expected keys, number of keys to
--          set, then for each expected key its name, 1 or 0 for present or absent, and its
--          value; then key and value of those to set; then the keys to delete
-- answers: 0 gone, 1 done, 2 too many keys, 3 another life; or a list on a conflict: the token,
--          and the current values of the expected keys
--include commit
return 1
