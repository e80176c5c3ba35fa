-- stale lists the fields of the fence that belong to no life, or to another one than
-- that of the field called name. Where there is no fence, what processes of the
-- layout before have left may be among them.
local function stale(k,name)
  local names,old=redis.call('HKEYS',k),{}
  for i=1,#names do
    if string.sub(names[i],1,2)=='\0L' and names[i]~=name then old[#old+1]=names[i] end
  end
  return old
end
