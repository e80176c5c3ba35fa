package redisstore

import (
	"crypto/sha1"
	"encoding/hex"
)

// The names of the fields that hold no value. They begin with NUL, so that no
// key can be one of them. The scripts below write them as \0t and \0c.
const (
	tokenField  = "\x00t"
	commitField = "\x00c"
)

// A script is one atomic step on one session. Its only key is the session's
// hash, its first argument the token of the life that it belongs to.
type script struct {
	source any // string, boxed once
	sha    any // string, boxed once: its SHA-1, by which the server knows it
}

func newScript(source string) *script {
	sum := sha1.Sum([]byte(source))
	return &script{source: source, sha: hex.EncodeToString(sum[:])}
}

// What the scripts answer.
const (
	answerEnded   = 0 // the life has ended, or for create: the session exists
	answerDone    = 1
	answerTooMany = 2
)

// guard refuses a script when the life of its token has ended.
const guard = `if redis.call('HGET',KEYS[1],'\0t')~=ARGV[1] then return 0 end `

// tooMany takes a new key away again if the session may not have so many.
const tooMany = `
local function tooMany(k,most,key)
  local n=redis.pcall('HLEN',k)
  if type(n)~='number' or n-1<=most then return false end
  local c=redis.pcall('HEXISTS',k,'\0c')
  if type(c)~='number' or n-1-c<=most then return false end
  return type(redis.pcall('HDEL',k,key))=='number'
end
`

// Lua gives a call at most some thousand arguments, so long lists go in slices
// of this many. A multiple of two keeps each field with its value.
const inSlices = `
local function slices(cmd,from,to)
  while from<=to do
    local last=math.min(from+999,to)
    redis.call(cmd,KEYS[1],unpack(ARGV,from,last))
    from=last+1
  end
end
`

var (
	// set: token, key, value, most keys (0: no limit).
	//
	// Most Sets replace a value, so the limit is looked at only when a key is
	// new, and that key is taken away again if it is one too many. Where an ACL
	// keeps a command of this from working, the key stays, and the answer says so.
	setScript = newScript(guard + `
local k=KEYS[1]
if redis.call('HSET',k,ARGV[2],ARGV[3])==1 and ARGV[4]~='0' then` + tooMany + `
  if tooMany(k,tonumber(ARGV[4]),ARGV[2]) then return 2 end
end
return 1`)

	// merged set: as keys the sessions, then for each what set takes. It answers
	// a list with the place and the answer of those that were not simply done: 0
	// if the life has ended or a command failed, before anything of that session
	// was written. Nothing else can fail.
	mergedSetScript = newScript(tooMany + `
local call,bad=redis.pcall,{}
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
return bad`)

	// has: token, key. Answers 0 when ended, 1 when absent, 2 when present.
	hasScript = newScript(guard + `return 1+redis.call('HEXISTS',KEYS[1],ARGV[2])`)

	// keys: token. Answers 0 when ended, the field names otherwise.
	keysScript = newScript(guard + `return redis.call('HKEYS',KEYS[1])`)

	// delete: token, key.
	deleteScript = newScript(guard + `redis.call('HDEL',KEYS[1],ARGV[2]) return 1`)

	// destroy: token.
	destroyScript = newScript(guard + `redis.call('UNLINK',KEYS[1]) return 1`)

	// renew: token, lease in milliseconds. It never shortens a life. Redis 6 does
	// not know GT, and goes the longer way.
	renewScript = newScript(guard + `
if type(redis.pcall('PEXPIRE',KEYS[1],ARGV[2],'GT'))=='number' then return 1 end
if redis.call('PTTL',KEYS[1])<tonumber(ARGV[2]) then redis.call('PEXPIRE',KEYS[1],ARGV[2]) end
return 1`)

	// merged renew: as keys the sessions, then the lease in milliseconds and the
	// token of each. It answers the places of those that were not renewed.
	mergedRenewScript = newScript(`
local call,lease,gt,bad=redis.pcall,tonumber(ARGV[1]),true,{}
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
return bad`)

	// suspend: token, grace in milliseconds.
	suspendScript = newScript(guard + `redis.call('PEXPIRE',KEYS[1],ARGV[2]) return 1`)

	// resume: new token, lease in milliseconds.
	resumeScript = newScript(`
if not redis.call('HGET',KEYS[1],'\0t') then return 0 end
redis.call('PEXPIRE',KEYS[1],ARGV[2])
redis.call('HSET',KEYS[1],'\0t',ARGV[1])
return 1`)

	// create: new token, lease in milliseconds, then key and value alternating.
	// HLEN also finds (and refuses) what is no session of ours. Where the server
	// refuses the expiry, which an ACL can bring about, nothing may stay behind.
	createScript = newScript(inSlices + `
if redis.call('HLEN',KEYS[1])>0 then return 0 end
redis.call('HSET',KEYS[1],'\0t',ARGV[1])
local expiry=redis.pcall('PEXPIRE',KEYS[1],ARGV[2])
if type(expiry)=='table' then
  redis.pcall('HDEL',KEYS[1],'\0t')
  redis.pcall('UNLINK',KEYS[1])
  return expiry
end
slices('HSET',3,#ARGV)
return 1`)

	// commit: token, most keys (0: no limit), nonce, number of expected keys, of
	// keys to set, then for each expected key its name, 1 or 0 for present or
	// absent, and its value; then key and value of those to set; then the keys
	// to delete. On a conflict it answers the current values.
	//
	// Every refusal is decided before the first write. HSET comes before HDEL,
	// because a server short of memory refuses only HSET.
	commitScript = newScript(inSlices + guard + `
local ne,ns=tonumber(ARGV[4]),tonumber(ARGV[5])
local current,holds={},true
for i=1,ne do
  local at=3+3*i
  local v=redis.call('HGET',KEYS[1],ARGV[at])
  current[i]=v
  if ARGV[at+1]=='1' then
    if v~=ARGV[at+2] then holds=false end
  elseif v then
    holds=false
  end
end
if not holds then return current end
local sets=6+3*ne
local dels=sets+2*ns
local most=tonumber(ARGV[2])
if most>0 and ns>0 then
  local growth=0
  for at=sets,dels-1,2 do growth=growth+1-redis.call('HEXISTS',KEYS[1],ARGV[at]) end
  for at=dels,#ARGV do growth=growth-redis.call('HEXISTS',KEYS[1],ARGV[at]) end
  local n=redis.call('HLEN',KEYS[1])-1-redis.call('HEXISTS',KEYS[1],'\0c')
  if growth>0 and n+growth>most then return 2 end
end
if dels>sets then slices('HSET',sets,dels-1) end
if #ARGV>=sets then
  redis.call('HSET',KEYS[1],'\0c',ARGV[3])
  slices('HDEL',dels,#ARGV)
end
return 1`)
)
