-- holds reports whether a session has the n values that the arguments from at on name: key, 1
-- or 0 for present or absent, value.
local function holds(at,n)
  for i=at,at+3*n-1,3 do
    local v=redis.call('HGET',KEYS[1],ARGV[i])
    if ARGV[i+1]=='1' then
      if v~=ARGV[i+2] then return false end
    elseif v then
      return false
    end
  end
  return true
end
