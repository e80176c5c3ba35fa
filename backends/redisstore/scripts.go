package redisstore

import (
	"crypto/sha1"
	"encoding/hex"
	"slices"
	"strings"
)

// The names of the fields that hold no value. They begin with NUL, so that no
// key can be one of them. The scripts below write them as \0t and \0c, those of the
// fence, see fenceField, as \0r and \0L, and \0x for one that no session ever has.
const (
	tokenField  = "\x00t"
	commitField = "\x00c"
)

// A script is one atomic step on one session. Its only key is the session's
// hash, its first argument the token of the life that it belongs to.
//
// A command of a script may be refused: the ACL user may not use it, or the server
// has no memory left. Redis undoes nothing then. So every script is ordered such
// that what may be refused comes before the first change, or it undoes what it has
// changed:
//
//  1. HSET with all fields at once comes first. It is refused as a whole.
//  2. PEXPIRE after it may be refused by an ACL alone, and what HSET wrote is
//     taken back.
//  3. HDEL after HSET is tried before on a field that no session has. Redis looks
//     at its memory only before the first write of a script, so another HSET that
//     changes nothing goes ahead of that where memory is to count.
type script struct {
	source []byte
	sha    []byte // its SHA-1, by which the server knows it
	ints   []int64
	list   func(reply []any, n int) bool // whether it may answer reply; nil: no list at all
}

// newScript returns a script that answers one of ints, or a list that list accepts.
func newScript(source string, list func([]any, int) bool, ints ...int64) *script {
	sum := sha1.Sum([]byte(source))
	return &script{source: []byte(source), sha: []byte(hex.EncodeToString(sum[:])), ints: ints, list: list}
}

// answers reports whether the script may answer n.
func (s *script) answers(n int64) bool { return slices.Contains(s.ints, n) }

// lists reports whether the script may answer reply, a list for which n entries
// were asked for.
func (s *script) lists(reply []any, n int) bool { return s.list != nil && s.list(reply, n) }

// What the scripts answer.
const (
	answerGone    = 0 // no life goes on, or for create: one does
	answerDone    = 1
	answerTooMany = 2
	answerOther   = 3 // another life goes on

	answerOtherValues = 4 // of destroy if
	answerForeign     = 5 // of create: a hash that is not a session

	answerAbsent  = 1 // of has
	answerPresent = 2
)

// values is the list of n values, nil for those that are absent.
func values(reply []any, n int) bool { return len(reply) == n && stringsOrNil(reply) }

// echoed is the token that the script was given, and n values.
func echoed(reply []any, n int) bool { return values(reply, 1+n) && isToken(reply[0]) }

// names is the list of a hash's fields, the token's among them.
func names(reply []any, _ int) bool {
	return stringsOrNil(reply) && !slices.Contains(reply, nil) && slices.Contains(reply, any(tokenField))
}

// guard refuses a script when the life of its token has ended.
const guard = `local t=redis.call('HGET',KEYS[1],'\0t') if t~=ARGV[1] then return t and 3 or 0 end `

// tooMany takes a new key away again if the session may not have so many. Fields
// that are not keys are counted only where there are so many that it matters.
const tooMany = `
local function tooMany(k,most,key)
  local n=redis.pcall('HLEN',k)
  if type(n)~='number' or n-1<=most then return false end
  local names=redis.pcall('HKEYS',k)
  if names.err then return false end
  for i=1,#names do
    if string.byte(names[i])==0 then n=n-1 end
  end
  if n<=most then return false end
  return type(redis.pcall('HDEL',k,key))=='number'
end
`

// stale lists the fields of the fence that belong to no life, or to another one than
// that of the field called name. Where there is no fence, what processes of the
// layout before have left may be among them.
const stale = `
local function stale(k,name)
  local names,old=redis.call('HKEYS',k),{}
  for i=1,#names do
    if string.sub(names[i],1,2)=='\0L' and names[i]~=name then old[#old+1]=names[i] end
  end
  return old
end
`

// Lua 5.1 gives a call at most 8000 arguments, so long lists go in slices. A
// multiple of two keeps each field with its value. The Lua 5.4 of Dragonfly, which
// looks at its memory before every HSET, takes them in one.
const inSlices = `
local most=table.unpack and 500000 or 6000
local function slices(call,cmd,from,to)
  while from<=to do
    local last=math.min(from+most-1,to)
    call(cmd,KEYS[1],unpack(ARGV,from,last))
    from=last+1
  end
end
local function store(field,value,from,to)
  local last=math.min(from+most-1,to)
  redis.call('HSET',KEYS[1],field,value,unpack(ARGV,from,last))
  slices(redis.call,'HSET',last+1,to)
end
`

// touch writes without changing anything, so that WAIT has something to confirm:
// newer servers take a script that wrote nothing for confirmed. The first HDEL
// also keeps a server that is out of memory from refusing.
const touch = `
redis.call('HDEL',KEYS[1],'\0x')
redis.call('HSET',KEYS[1],'\0x','')
redis.call('HDEL',KEYS[1],'\0x')
`

// setBody writes a value: token, key, value, most keys (0: no limit).
const setBody = `
local k=KEYS[1]
if redis.call('HSET',k,ARGV[2],ARGV[3])==1 and ARGV[4]~='0' then` + tooMany + `
  if tooMany(k,tonumber(ARGV[4]),ARGV[2]) then return 2 end
end
`

var (
	// set: token, key, value, most keys (0: no limit).
	//
	// Most Sets replace a value, so the limit is looked at only when a key is
	// new, and that key is taken away again if it is one too many. Where an ACL
	// keeps a command of this from working, the key stays, and the answer says so.
	setScript = newScript(guard+setBody+`return 1`, nil, answerGone, answerOther, answerDone, answerTooMany)

	// fencing set: what set takes, and the name of the field that fences this life. It
	// makes the fence where there is none: the session was begun by the layout
	// before, or a process of that has resumed it. The value is written in any case.
	fencingSetScript = newScript(stale+guard+setBody+`
local has=redis.pcall('HMGET',k,'\0r',ARGV[5])
if has.err or has[1] and has[2] then return 1 end
local ok,old=pcall(stale,k,ARGV[5])
if not ok then return 1 end
for i=1,#old do
  if type(redis.pcall('HDEL',k,old[i]))~='number' then return 1 end
end
redis.pcall('HSET',k,'\0r','',ARGV[5],'')
return 1`, nil, answerGone, answerOther, answerDone, answerTooMany)

	// merged set: as keys the sessions, then for each what set takes. It answers
	// a list: the number of the sessions, and the place and the answer of those
	// that were not simply done: 0 if the life has ended or a command failed, before
	// anything of that session was written. Nothing else can fail.
	mergedSetScript = newScript(tooMany+`
local call,bad=redis.pcall,{#KEYS}
for i=1,#KEYS do
  local k,at=KEYS[i],4*i
  local n,answer=call('HGET',k,'\0t'),1
  if n==ARGV[at-3] then
    n=call('HSET',k,ARGV[at-2],ARGV[at-1])
    if type(n)=='table' then
      answer=0
    elseif n==1 and ARGV[at]~='0' and tooMany(k,tonumber(ARGV[at]),ARGV[at-2]) then
      answer=2
    end
  else
    answer=0
  end
  if answer~=1 then
    bad[#bad+1]=i
    bad[#bad+1]=answer
  end
end
return bad`, nil)

	// has: token, key.
	hasScript = newScript(guard+`return 1+redis.call('HEXISTS',KEYS[1],ARGV[2])`, nil,
		answerGone, answerOther, answerAbsent, answerPresent)

	// keys: token. Answers the names of the fields.
	keysScript = newScript(guard+`return redis.call('HKEYS',KEYS[1])`, names, answerGone, answerOther)

	// delete: token, key.
	deleteScript = newScript(guard+`redis.call('HDEL',KEYS[1],ARGV[2]) return 1`, nil, answerGone, answerOther, answerDone)

	// confirmed delete: token, key.
	confirmedDeleteScript = newScript(guard+`if redis.call('HDEL',KEYS[1],ARGV[2])==0 then`+touch+`end return 1`, nil,
		answerGone, answerOther, answerDone)

	// destroy: token.
	destroyScript = newScript(guard+`redis.call('UNLINK',KEYS[1]) return 1`, nil, answerGone, answerOther, answerDone)

	// destroy if: token, number of keys, then key and value alternating. The fields
	// that begin with NUL are not keys.
	destroyIfScript = newScript(guard+`
local k,n=KEYS[1],0
for _,f in ipairs(redis.call('HKEYS',k)) do
  if string.byte(f,1)~=0 then n=n+1 end
end
if n~=tonumber(ARGV[2]) then return 4 end
for at=3,#ARGV,2 do
  if redis.call('HGET',k,ARGV[at])~=ARGV[at+1] then return 4 end
end
redis.call('UNLINK',k)
return 1`, nil, answerGone, answerOther, answerDone, answerOtherValues)

	// confirmed destroy: token. It writes in any case, so that WAIT also confirms
	// a life that an earlier, unconfirmed attempt has ended.
	confirmedDestroyScript = newScript(`
if redis.call('HGET',KEYS[1],'\0t')==ARGV[1] then
  redis.call('UNLINK',KEYS[1])
else`+touch+`end
return 1`, nil, answerDone)

	// confirmed trace: token. Answers the token and the mark of the last commit,
	// for WAIT to confirm.
	confirmedTraceScript = newScript(touch+`return redis.call('HMGET',KEYS[1],'\0t','\0c')`, values)

	// renew: token, lease in milliseconds. It never shortens a life. Redis 6 does
	// not know GT, and goes the longer way.
	renewScript = newScript(guard+`
if type(redis.pcall('PEXPIRE',KEYS[1],ARGV[2],'GT'))=='number' then return 1 end
if redis.call('PTTL',KEYS[1])<tonumber(ARGV[2]) then redis.call('PEXPIRE',KEYS[1],ARGV[2]) end
return 1`, nil, answerGone, answerOther, answerDone)

	// merged renew: as keys the sessions, then the lease in milliseconds and the
	// token of each. It answers the number of the sessions and the places of those
	// that were not renewed.
	mergedRenewScript = newScript(`
local call,lease,gt,bad=redis.pcall,tonumber(ARGV[1]),true,{#KEYS}
for i=1,#KEYS do
  local k=KEYS[i]
  local done=call('HGET',k,'\0t')==ARGV[i+1]
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

	// suspend: token, grace in milliseconds.
	suspendScript = newScript(guard+`redis.call('PEXPIRE',KEYS[1],ARGV[2]) return 1`, nil, answerGone, answerOther, answerDone)

	// resume: new token, lease in milliseconds, the token that was seen, the name of
	// the field that fences the new life, "" for none. When another life has begun
	// since, it answers a list: the new token, and that one's. One that arrives late
	// finds a token that it does not expect, or its own.
	//
	// The fence of the life before goes in the same step. HDEL lets it go on where a
	// server is out of memory: it frees none but needs none.
	resumeScript = newScript(stale+`
local k,name=KEYS[1],ARGV[4]
local t=redis.call('HGET',k,'\0t')
if not t then return 0 end
if t~=ARGV[1] and t~=ARGV[3] then return {ARGV[1],t} end
redis.call('HDEL',k,'\0x')
if t==ARGV[1] then
  redis.call('HSET',k,'\0t',t)
  return 1
end
local fenced,old=redis.call('HEXISTS',k,'\0r')==1,{}
if fenced then
  old[1]='\0L'..t
  if name=='' then old[2]='\0r' end
elseif name~='' then
  old=stale(k,name)
end
if name~='' then
  redis.call('HSET',k,'\0t',ARGV[1],'\0r','',name,'')
else
  redis.call('HSET',k,'\0t',ARGV[1])
end
local expiry=redis.pcall('PEXPIRE',k,ARGV[2])
if type(expiry)=='table' then
  redis.call('HSET',k,'\0t',t)
  if name~='' then redis.call('HDEL',k,name) end
  if not fenced then redis.call('HDEL',k,'\0r') end
  return expiry
end
for i=1,#old do redis.call('HDEL',k,old[i]) end
return 1`, func(reply []any, _ int) bool { return echoed(reply, 1) && isToken(reply[1]) }, answerGone, answerDone)

	// create: new token, lease in milliseconds, then key and value alternating, the
	// fields of the fence among them.
	// HLEN also finds (and refuses) what is not a session of ours.
	createScript = newScript(inSlices+`
local k=KEYS[1]
if redis.call('HLEN',k)>0 then return redis.call('HEXISTS',k,'\0t')==1 and 0 or 5 end
store('\0t',ARGV[1],3,#ARGV)
local expiry=redis.pcall('PEXPIRE',k,ARGV[2])
if type(expiry)=='table' then
  if type(redis.pcall('UNLINK',k))=='table' then
    redis.pcall('HDEL',k,'\0t')
    for at=3,#ARGV,2 do redis.pcall('HDEL',k,ARGV[at]) end
  end
  return expiry
end
return 1`, nil, answerGone, answerDone, answerForeign)

	// commit: token, most keys (0: no limit), nonce, number of expected keys, of
	// keys to set, then for each expected key its name, 1 or 0 for present or
	// absent, and its value; then key and value of those to set; then the keys
	// to delete. On a conflict it answers its token and the current values.
	//
	// What only deletes frees memory and is not refused for want of it; its mark is
	// written last, and missed by nobody but a caller whose reply was lost.
	commitScript = newScript(inSlices+guard+`
local k,ne,ns=KEYS[1],tonumber(ARGV[4]),tonumber(ARGV[5])
local current,holds={t},true
for i=1,ne do
  local at=3+3*i
  local v=redis.call('HGET',k,ARGV[at])
  current[i+1]=v
  if ARGV[at+1]=='1' then
    if v~=ARGV[at+2] then holds=false end
  elseif v then
    holds=false
  end
end
if not holds then return current end
local sets=6+3*ne
local dels=sets+2*ns
local limit=tonumber(ARGV[2])
if limit>0 and ns>0 then
  local growth=0
  for at=sets,dels-1,2 do growth=growth+1-redis.call('HEXISTS',k,ARGV[at]) end
  for at=dels,#ARGV do growth=growth-redis.call('HEXISTS',k,ARGV[at]) end
  local n=growth>0 and redis.call('HLEN',k)+growth or 0
  if n-1>limit then
    local names=redis.call('HKEYS',k)
    for i=1,#names do
      if string.byte(names[i])==0 then n=n-1 end
    end
    if n>limit then return 2 end
  end
end
if ns>0 then
  if dels<=#ARGV then
    redis.call('HSET',k,'\0t',ARGV[1])
    redis.call('HDEL',k,'\0x')
  end
  store('\0c',ARGV[3],sets,dels-1)
end
slices(redis.call,'HDEL',dels,#ARGV)
if ns==0 and dels<=#ARGV then redis.pcall('HSET',k,'\0c',ARGV[3]) end
return 1`, echoed, answerGone, answerOther, answerDone, answerTooMany)
)

// isToken reports whether a field's value has the form of a token.
func isToken(v any) bool {
	s, ok := v.(string)
	return ok && len(s) == tokenLength && strings.Trim(s, tokenAlphabet) == ""
}

const (
	tokenLength   = 22
	tokenAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)
