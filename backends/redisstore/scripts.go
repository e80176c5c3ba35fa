package redisstore

import (
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"slices"
	"strings"
)

// The names of the fields that hold no value. They begin with NUL, so that no key can be one of
// them. The scripts write them as \0t and \0c. They write those of the fence, see fenceField, as
// \0r and \0L, and one that no session ever has as \0x.
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
	source  []byte
	sha     []byte // its SHA-1, under which the server keeps it
	numbers []answer
	list    func(reply []any, n int) bool // whether it may answer reply; nil: no list at all
}

//go:embed lua
var luaFiles embed.FS

// newScript returns the script in a file of lua. It answers one of numbers, or a list that list
// accepts.
func newScript(name string, list func([]any, int) bool, numbers ...answer) *script {
	source := sourceOf("lua/" + name + ".lua")
	sum := sha1.Sum(source)
	return &script{source: source, sha: []byte(hex.EncodeToString(sum[:])), numbers: numbers, list: list}
}

// sourceOf returns what a file holds, without comments and indentation. A line
// "--include NAME" is replaced by what lua/part/NAME.lua holds.
func sourceOf(file string) []byte {
	text, err := luaFiles.ReadFile(file)
	if err != nil {
		panic(err) // the files are part of the program
	}
	var source []byte
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if part, ok := strings.CutPrefix(line, "--include "); ok {
			source = append(source, sourceOf("lua/part/"+part+".lua")...)
		} else if line != "" && !strings.HasPrefix(line, "--") {
			source = append(append(source, line...), '\n')
		}
	}
	return source
}

// answers reports whether the script may answer n.
func (s *script) answers(n answer) bool { return slices.Contains(s.numbers, n) }

// lists reports whether the script may answer reply, a list for which n entries
// were asked for.
func (s *script) lists(reply []any, n int) bool { return s.list != nil && s.list(reply, n) }

// An answer is what a script says by a number.
type answer int64

const (
	answerGone        answer = 0 // no life goes on, or for create: one does
	answerDone        answer = 1
	answerTooMany     answer = 2
	answerOther       answer = 3 // another life goes on
	answerOtherValues answer = 4 // of a condition
	answerForeign     answer = 5 // of create: a hash that is not a session

	answerAbsent  answer = 1 // of has
	answerPresent answer = 2
)

// values is the list of n values, nil for those that are absent.
func values(reply []any, n int) bool { return len(reply) == n && stringsOrNil(reply) }

// echoed is the token that the script was given, and n values.
func echoed(reply []any, n int) bool { return values(reply, 1+n) && isToken(reply[0]) }

// rival is the token that the script was given, and that of another life.
func rival(reply []any, _ int) bool { return echoed(reply, 1) && isToken(reply[1]) }

// page is a cursor and members of a list.
func page(reply []any, _ int) bool {
	return len(reply) > 0 && isDigits(reply[0]) && !slices.Contains(reply, nil) && stringsOrNil(reply)
}

// milliseconds is a time.
func milliseconds(reply []any, _ int) bool { return len(reply) == 1 && isDigits(reply[0]) }

// timed is a time, or what echoed is.
func timed(reply []any, n int) bool { return milliseconds(reply, n) || n > 0 && echoed(reply, n) }

// isDigits reports whether a reply is a number that is not negative, in a string.
func isDigits(v any) bool {
	s, ok := v.(string)
	return ok && s != "" && len(s) <= 20 && strings.Trim(s, "0123456789") == ""
}

// names is the list of a hash's fields, the token's among them.
func names(reply []any, _ int) bool {
	return stringsOrNil(reply) && !slices.Contains(reply, nil) && slices.Contains(reply, any(tokenField))
}

// The scripts, each in the file lua/NAME.lua that begins with what it takes and answers.
var (
	setScript         = newScript("set", nil, answerGone, answerOther, answerDone, answerTooMany)
	fencingSetScript  = newScript("fencing_set", nil, answerGone, answerOther, answerDone, answerTooMany)
	mergedSetScript   = newScript("merged_set", nil)
	hasScript         = newScript("has", nil, answerGone, answerOther, answerAbsent, answerPresent)
	keysScript        = newScript("keys", names, answerGone, answerOther)
	deleteScript      = newScript("delete", nil, answerGone, answerOther, answerDone)
	destroyScript     = newScript("destroy", nil, answerGone, answerOther, answerDone)
	destroyIfScript   = newScript("destroy_if", nil, answerGone, answerOther, answerDone, answerOtherValues)
	renewScript       = newScript("renew", nil, answerGone, answerOther, answerDone)
	mergedRenewScript = newScript("merged_renew", nil)
	suspendScript     = newScript("suspend", nil, answerGone, answerOther, answerDone)
	resumeScript      = newScript("resume", rival, answerGone, answerDone)
	createScript      = newScript("create", nil, answerGone, answerDone, answerForeign)
	commitScript      = newScript("commit", echoed, answerGone, answerOther, answerDone, answerTooMany)
	commitTimedScript = newScript("commit_timed", timed, answerGone, answerOther, answerTooMany)

	// Those of WaitReplicas.
	confirmedDeleteScript  = newScript("confirmed_delete", nil, answerGone, answerOther, answerDone)
	confirmedDestroyScript = newScript("confirmed_destroy", nil, answerDone)
	confirmedTraceScript   = newScript("confirmed_trace", values)

	// Those of indexes. A list is a sorted set: a member's score is when it goes, in milliseconds of the
	// server's clock. Each has an expiry that is not earlier than its last member's.
	putScript           = newScript("put", nil, answerDone)
	mergedPutScript     = newScript("merged_put", nil)
	removeScript        = newScript("remove", nil, answerDone)
	pageScript          = newScript("page", page)
	timeLeftScript      = newScript("time_left", milliseconds, answerGone, answerOther)
	renewIfScript       = newScript("renew_if", nil, answerGone, answerOther, answerDone, answerOtherValues)
	mergedRenewIfScript = newScript("merged_renew_if", nil)
	suspendIfScript     = newScript("suspend_if", nil, answerGone, answerOther, answerDone, answerOtherValues)
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
