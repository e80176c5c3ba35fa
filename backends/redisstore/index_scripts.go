package redisstore

import "strings"

// The lists of indexes are sorted sets: a member's score is when it goes, in milliseconds
// of the server's clock. Each has an expiry that is no earlier than its last member's.

// clock is the server's time in milliseconds.
const clock = `
local function clock()
  local t=redis.call('TIME')
  return t[1]*1000+math.floor(t[2]/1000)
end
`

// listScript makes what is done with a list, whose name is the only key, and what it may answer.
var (
	// put: time to stay in milliseconds, members. It begins with what frees memory, so that a server
	// that is out of memory still takes the entries of sessions that live. What it adds is taken back where the
	// expiry cannot be set.
	putScript = newScript(clock+`
local k,ttl,now=KEYS[1],tonumber(ARGV[1]),clock()
redis.call('ZREMRANGEBYSCORE',k,'-inf',now)
for i=2,#ARGV do redis.call('ZADD',k,'GT',now+ttl,ARGV[i]) end
local left=redis.pcall('PTTL',k)
if type(left)=='number' and left>=ttl then return 1 end
local expiry=left
if type(left)=='number' then expiry=redis.pcall('PEXPIRE',k,ARGV[1]) end
if type(expiry)=='table' then
  for i=2,#ARGV do redis.pcall('ZREM',k,ARGV[i]) end
  return expiry
end
return 1`, nil, answerDone)

	// merged put: as keys lists, then the time to stay and the member of each. It answers the number
	// of the lists and the places of those that were not written. A server that is out of memory looks at that only
	// before the first write of a script, which here changes nothing.
	mergedPutScript = newScript(clock+`
local call,ttl,now,gt,bad=redis.pcall,tonumber(ARGV[1]),clock(),true,{#KEYS}
call('ZREM',KEYS[1],'')
for i=1,#KEYS do
  local k=KEYS[i]
  local added=call('ZADD',k,'GT',now+ttl,ARGV[i+1])
  local done=type(added)=='number'
  -- A member that was there is of a list with an expiry. Only then is GT right: a key without one is never given one by it.
  local set=false
  if done and added==0 and gt then
    set=type(call('PEXPIRE',k,ARGV[1],'GT'))=='number'
    gt=set
  end
  if done and not set then
    call('ZREMRANGEBYSCORE',k,'-inf',now)
    local left=call('PTTL',k)
    if type(left)~='number' then
      done=false
    elseif left<ttl then
      done=call('PEXPIRE',k,ARGV[1])==1
    end
    if not done then call('ZREM',k,ARGV[i+1]) end
  end
  if not done then bad[#bad+1]=i end
end
return bad`, nil)

	// remove: members.
	removeScript = newScript(`for i=1,#ARGV do redis.call('ZREM',KEYS[1],ARGV[i]) end return 1`, nil, answerDone)

	// page: cursor, about how many members. It answers the next cursor and the members whose time has not come.
	pageScript = newScript(clock+`
local now=clock()
local page=redis.call('ZSCAN',KEYS[1],ARGV[1],'COUNT',ARGV[2])
local reply={page[1]}
for i=1,#page[2],2 do
  if tonumber(page[2][i+1])>now then reply[#reply+1]=page[2][i] end
end
return reply`, func(reply []any, _ int) bool {
		return len(reply) > 0 && isDigits(reply[0]) && !hasNil(reply) && stringsOrNil(reply)
	})

	// time left: token. It answers the milliseconds that the session has yet.
	timeLeftScript = newScript(guard+`return {tostring(redis.call('PTTL',KEYS[1]))}`,
		func(reply []any, _ int) bool { return len(reply) == 1 && isDigits(reply[0]) }, answerGone, answerOther)
)

// holds reports whether a session has the n values that the arguments from at on name: key, 1 or 0 for present or
// absent, value.
const holds = `
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
`

var (
	// renew if: token, lease in milliseconds, then key, 1 or 0, and value for each that is expected.
	renewIfScript = newScript(holds+guard+`
if not holds(3,(#ARGV-2)/3) then return 4 end
local lease=tonumber(ARGV[2])
if lease<=0 then return 1 end
if type(redis.pcall('PEXPIRE',KEYS[1],ARGV[2],'GT'))=='number' then return 1 end
if redis.call('PTTL',KEYS[1])<lease then redis.call('PEXPIRE',KEYS[1],ARGV[2]) end
return 1`, nil, answerGone, answerOther, answerDone, answerOtherValues)

	// suspend if: as renew if, with the grace in place of the lease.
	suspendIfScript = newScript(holds+guard+`
if not holds(3,(#ARGV-2)/3) then return 4 end
redis.call('PEXPIRE',KEYS[1],ARGV[2])
return 1`, nil, answerGone, answerOther, answerDone, answerOtherValues)

	// merged renew if: as keys sessions, then the lease, the number of keys that are expected of each, their names, and
	// for each session its token, a 1 or 0 for each key in one string, and the values. It
	// answers the number of the sessions and the places of those that were not renewed.
	mergedRenewIfScript = newScript(`
local call,lease,nf,gt,bad=redis.pcall,tonumber(ARGV[1]),tonumber(ARGV[2]),true,{#KEYS}
local byte=string.byte
local names={'\0t',unpack(ARGV,3,2+nf)}
local at=3+nf
for i=1,#KEYS do
  local k=KEYS[i]
  local v=call('HMGET',k,unpack(names))
  local done=v[1]==ARGV[at]
  local flags=ARGV[at+1]
  for j=1,nf do
    if byte(flags,j)==49 then
      if v[j+1]~=ARGV[at+1+j] then done=false end
    elseif v[j+1] then
      done=false
    end
  end
  at=at+2+nf
  if done and gt then gt=type(call('PEXPIRE',k,ARGV[1],'GT'))=='number' end
  if done and not gt then
    local left=call('PTTL',k)
    if type(left)~='number' then
      done=false
    elseif left<lease then
      done=call('PEXPIRE',k,ARGV[1])==1
    end
  end
  if not done then bad[#bad+1]=i end
end
return bad`, nil)
)

// isDigits reports whether a reply is a number that is not negative, in a string.
func isDigits(v any) bool {
	s, ok := v.(string)
	return ok && s != "" && len(s) <= 20 && strings.Trim(s, "0123456789") == ""
}

func hasNil(values []any) bool {
	for _, v := range values {
		if v == nil {
			return true
		}
	}
	return false
}
