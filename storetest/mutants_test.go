package storetest_test

import (
	"cmp"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sessionkv/store/storetest"
)

// broken names the bug that a child process plants into the reference.
const broken = "STORETEST_BUG"

// TestBroken runs the suite against the backend that the variable names. It is
// run by TestMutants in processes of its own, where it must fail.
func TestBroken(t *testing.T) {
	name, set := os.LookupEnv(broken)
	if !set {
		t.Skip("run by TestMutants")
	}
	switch b := bug(name); b {
	case "namespaces share sessions", "every node has a namespace of its own":
		storetest.Run(t, apart(b))
	default:
		storetest.Run(t, memory(b))
	}
}

// mutants are broken backends, each with the rule that must catch it (others
// may too).
var mutants = []struct {
	bug  bug
	rule string
}{
	{"Set retains", "values/Set does not retain its argument"},
	{"large slices are retained", "values/Set does not retain its argument"},
	{"Create retains", "values/Create does not retain its initial values"},
	{"Commit retains", "values/Commit does not retain its arguments"},
	{"GetMany sorts its argument", "values/no method modifies a slice that it was given"},
	{"Set writes into the old buffer", "values/a slice that Get returned never changes"},
	{"Delete overwrites the buffer", "values/a slice that Get returned never changes"},
	{"Destroy overwrites buffers", "values/a slice that Get returned never changes"},
	{"Set keeps the longer tail", "values/Set overwrites, also by a shorter value and by the same one"},
	{"values are text", "values/a value of 1 MiB and one of every byte are kept as they are"},
	{"empty values are nil", "values/an empty value is not an absent one"},
	{"empty is not found", "values/an empty value is not an absent one"},
	{"Has is false for empty", "values/an empty value is not an absent one"},
	{"a nil value deletes", "values/a nil value is stored as an empty one"},
	{"absent is nil", "values/a key without a value is ErrNotFound"},
	{"Delete of absent fails", "values/Delete of an absent key succeeds"},
	{"Delete leaves an empty value", "values/Has tells whether there is a value"},
	{"Delete removes by prefix", "values/Delete removes one key and no other"},
	{"GetMany has no nil", "values/GetMany returns values in the order of the keys, nil for absent"},
	{"GetMany leaves out the absent", "values/GetMany returns values in the order of the keys, nil for absent"},
	{"empty is nil in lists", "values/GetMany returns values in the order of the keys, nil for absent"},
	{"Keys are unsorted", "values/Keys lists the keys that have a value, in byte order"},
	{"Keys are sorted as text", "values/Keys lists the keys that have a value, in byte order"},
	{"Keys lists 100 at most", "values/a session holds hundreds of keys"},
	{"Keys returns one list again and again", "values/lists that Keys and Renew returned never change"},
	{"Renew reuses its list of errors", "values/lists that Keys and Renew returned never change"},
	{"Renew sorts its argument", "values/no method modifies a slice that it was given"},
	{"Create compacts its argument", "values/no method modifies a slice that it was given"},
	{"Keys list themselves", "values/Keys lists the keys that have a value, in byte order"},
	{"Commit is not supported, but done", "values/an ability is there or ErrUnsupported, always and without a trace"},

	{"keys ignore case", "names/every key that CheckKey accepts is a key of its own"},
	{"keys are cut at 64 bytes", "names/every key that CheckKey accepts is a key of its own"},
	{"keys named token are lost", "names/every key that CheckKey accepts is a key of its own"},
	{"keys are globbed", "names/every key that CheckKey accepts is a key of its own"},
	{"bad keys are accepted", "names/every other key is ErrInvalidKey in every method and changes nothing"},
	{"long keys are accepted", "names/every other key is ErrInvalidKey in every method and changes nothing"},
	{"a refused Create leaves a session", "names/every other key is ErrInvalidKey in every method and changes nothing"},
	{"nil initial values are not checked", "names/every other key is ErrInvalidKey in every method and changes nothing"},
	{"IDs ignore case", "names/every ID that CheckID accepts is a session of its own"},
	{"IDs are cut at 255 bytes", "names/every ID that CheckID accepts is a session of its own"},
	{"IDs end at NUL", "names/every ID that CheckID accepts is a session of its own"},
	{"IDs are made valid UTF-8", "names/every ID that CheckID accepts is a session of its own"},
	{"IDs lose their spaces", "names/every ID that CheckID accepts is a session of its own"},
	{"IDs are unescaped", "names/every ID that CheckID accepts is a session of its own"},
	{"long IDs are accepted", "names/every other ID is ErrInvalidID"},
	{"namespaces share sessions", "names/sessions of another namespace are others"},
	{"every node has a namespace of its own", "names/the nodes of one storage name the same namespace"},

	{"initial values are lost", "lives/Create stores the initial values with the session"},
	{"nil initial values are stored", "lives/Create stores the initial values with the session"},
	{"Create overwrites", "lives/Create of a living session is ErrExists and leaves it alone"},
	{"Create returns what lives", "lives/Create of a living session is ErrExists and leaves it alone"},
	{"Create checks first, then writes", "lives/one of many that create the same session wins"},
	{"Attach creates", "lives/Attach without a session is ErrNoSession"},
	{"Destroy only empties", "lives/Destroy removes the session and its values"},
	{"Destroy twice fails", "lives/Destroy is idempotent, on every handle"},
	{"Destroy hits later lives", "lives/Destroy of an earlier life leaves the later one alone"},
	{"a write brings the session back", "lives/after Destroy every method of the same handle is ErrDestroyed"},
	{"late writes are dropped silently", "lives/after Destroy every method on another node is ErrDestroyed"},
	{"reads after the end find nothing", "lives/after Destroy every method of another handle is ErrDestroyed"},
	{"missing means mine", "lives/after Destroy every method of the same handle is ErrDestroyed"},
	{"fencing is missing", "lives/handles of an earlier life never touch a later one with the same ID"},
	{"the token is the ID", "lives/each of many lives with the same ID is a life of its own"},
	{"check first, then write", "races/no write that is in progress survives Destroy"},
	{"Resume loses values", "lives/Resume keeps the values"},
	{"Resume creates", "lives/Resume without a session is ErrNoSession"},
	{"Resume does not fence", "lives/Resume ends every earlier handle on every node"},
	{"an empty GetMany asks nobody", "lives/after Destroy every method of the same handle is ErrDestroyed"},
	{"an empty Commit asks nobody", "lives/after Destroy every method of the same handle is ErrDestroyed"},
	{"removing the last key ends the session", "lives/a session without values is a session"},
	{"Resume refuses an empty session", "lives/a session without values is a session"},
	{"Suspend ends an empty session", "leases/Suspend of a session without values keeps it"},
	{"Renew of a suspended session fails", "lives/a suspended session is still that session"},
	{"Suspend ends the life", "lives/a suspended session is still that session"},
	{"Suspend of the dead succeeds", "lives/Suspend of a life that has ended is ErrDestroyed"},

	{"GetMany through Attach is one write behind", "views/what one handle has written every other reads, with every method"},
	{"Get through Attach is one write behind", "views/a read that begins after a write was acknowledged does not miss it"},
	{"Has through Attach is one write behind", "views/what one handle has written every other reads, with every method"},
	{"Keys through Attach are one write behind", "views/what one handle has written every other reads, with every method"},
	{"GetMany is torn in a moment", "views/GetMany and a refused Commit see the values of one instant"},
	{"GetMany is torn", "views/GetMany sees writes in their order"},
	{"a refused Commit is torn", "views/GetMany and a refused Commit see the values of one instant"},
	{"Commit writes one key after another", "views/a Commit is whole for those who read one key after another"},
	{"Keys are torn", "views/Keys never sees half of a Commit"},
	{"Create begins first, then writes", "views/a session begins with all its values at once"},

	{"Resume copies before it fences", "races/a resumed session has every write that was acknowledged, and none that was refused"},
	{"Resume copies, then begins", "races/a Resume that is in progress does not bring a destroyed session back"},
	{"Get checks the life, then reads", "races/a read that is in progress never sees a later life"},
	{"GetMany checks the life, then reads", "races/a read that is in progress never sees a later life"},
	{"Commit checks the life, then compares", "races/a read that is in progress never sees a later life"},
	{"Destroy checks first, then removes", "races/a Destroy that is in progress does not hit a later life"},
	{"Renew writes back", "races/Renew, Suspend and Attach lose no write that is in progress"},
	{"Suspend writes back", "races/Renew, Suspend and Attach lose no write that is in progress"},
	{"Attach writes back", "races/Renew, Suspend and Attach lose no write that is in progress"},
	{"Set writes the whole session back", "races/Sets and Deletes of different keys at the same time do not undo each other"},

	{"leases are three times too long", "leases/a session lives for its lease and then ends"},
	{"leases are twice as long", "leases/a session lives for its lease and then ends"},
	{"leases are cut to whole seconds", "leases/a lease is never rounded down"},
	{"leases are cut to milliseconds", "leases/a lease is never rounded down"},
	{"graces are cut to whole seconds", "leases/a lease is never rounded down"},
	{"leases last a minute at most", "leases/a long lease is not cut short"},
	{"leases of years overflow", "leases/a long lease is not cut short"},
	{"Resume leases three times too long", "leases/Resume leases the session anew, shorter than the grace"},
	{"Renew leases three times too long", "leases/Renew makes a session live for the lease from now"},
	{"graces are three times too long", "leases/Suspend keeps a session for the grace, longer than the lease"},
	{"Renew of several shortens", "leases/Renew of several never shortens a life, and lengthens the others"},
	{"Renew shortens a grace", "leases/Renew never shortens a grace"},
	{"Renew of a suspended session does nothing", "leases/Renew lengthens a grace that is shorter"},
	{"Renew reaches one session only", "leases/Renew of several never shortens a life, and lengthens the others"},
	{"Renew reaches 128 sessions only", "leases/Renew of hundreds renews each of them"},
	{"Renew through Attach does nothing", "leases/Renew through a handle from Attach renews"},
	{"Suspend through Attach does nothing", "leases/Suspend through a handle from Attach counts"},
	{"Renew checks first, then renews", "leases/a Renew that is in progress does not lengthen a resumed life"},
	{"Suspend checks first, then writes", "leases/a Suspend that is in progress never shortens a resumed life"},
	{"a write ends a suspension", "leases/writes, reads and Attach do not prolong a grace"},
	{"reads end a suspension", "leases/writes, reads and Attach do not prolong a grace"},
	{"Attach ends a suspension", "leases/writes, reads and Attach do not shorten a grace or end it"},
	{"Attach leases anew", "leases/Attach does not use its lease"},
	{"a refused Create renews", "leases/a refused Create leaves the lease alone"},
	{"a refused Create leases anew", "leases/a refused Create leaves the lease alone"},
	{"reads prolong the lease", "leases/reading and Attach do not prolong the lease"},
	{"refused writes prolong the lease", "leases/a write that is refused leaves the lease alone"},
	{"refused writes take the lease away", "leases/a write that is refused leaves the lease alone"},
	{"removing the last key prolongs the lease", "leases/removing the last key neither prolongs the lease nor takes it away"},
	{"leases never end", "leases/a session lives for its lease and then ends"},
	{"leases are cut in half", "leases/a session lives for its lease and then ends"},
	{"expired values stay", "leases/an expired session can be neither attached to nor resumed, and its ID is free"},
	{"writes prolong the lease", "leases/writes do not prolong the lease"},
	{"writes take the lease away", "leases/writes do not shorten the lease or take it away"},
	{"Attach renews", "leases/reading and Attach do not prolong the lease"},
	{"Renew does nothing", "leases/Renew makes a session live for the lease from now"},
	{"Renew shortens", "leases/Renew never shortens a life"},
	{"Renew with zero renews", "leases/Renew with a lease of zero only finds out who lives"},
	{"Renew resurrects", "leases/Renew never brings an expired session back"},
	{"Suspend is ignored", "leases/Suspend keeps a session for the grace, longer than the lease"},
	{"Suspend never lengthens", "leases/Suspend keeps a session for the grace, longer than the lease"},
	{"Suspend never shortens", "leases/Suspend keeps a session for the grace, shorter than the lease"},
	{"Resume keeps the old lease", "leases/Resume leases the session anew, longer than the grace"},
	{"Resume never shortens", "leases/Resume leases the session anew, shorter than the grace"},
	{"Renew reaches later lives", "leases/Renew and Suspend by an earlier handle do not lengthen a resumed life"},
	{"Suspend reaches later lives", "leases/Suspend by an earlier handle does not shorten a later life"},

	{"MaxKeys is off by one", "limits/Set of one key too many is ErrTooManyKeys and changes nothing"},
	{"MaxKeys is ignored", "limits/Set of one key too many is ErrTooManyKeys and changes nothing"},
	{"MaxKeys refuses too late", "limits/Set of one key too many is ErrTooManyKeys and changes nothing"},
	{"MaxKeys refuses overwriting", "limits/overwriting works at the limit"},
	{"MaxKeys checks first, then writes", "limits/keys that are added at the same time never exceed the limit"},
	{"Create ignores MaxKeys", "limits/Create with too many keys is ErrTooManyKeys and begins nothing"},
	{"nil initial values count as keys", "limits/initial values that are nil are no keys"},
	{"MaxKeys is ignored in large sessions", "limits/a limit of hundreds is kept exactly"},
	{"each handle counts for itself", "limits/the limit counts what every handle has written and removed"},
	{"Attach refuses what is beyond MaxKeys", "limits/Attach and Resume with a limit below what the session holds keep it all"},
	{"Resume refuses what is beyond MaxKeys", "limits/Attach and Resume with a limit below what the session holds keep it all"},
	{"the limit is checked before the life", "limits/a limit never hides that the life has ended"},
	{"Commit through Attach has no limit", "limits/the limit of a Commit is that of the handle"},
	{"Commit after Resume has no limit", "limits/the limit of a Commit is that of the handle"},
	{"Commit checks the limit first", "limits/a wrong expectation counts before the limit"},
	{"Commit counts first, then writes", "limits/keys that Commits add at the same time never exceed the limit"},
	{"Resume drops MaxKeys", "limits/the limit is that of the handle that adds the key"},
	{"Commit ignores MaxKeys", "limits/Commit of one key too many is ErrTooManyKeys and writes nothing"},
	{"a refused Commit writes a part", "limits/Commit of one key too many is ErrTooManyKeys and writes nothing"},
	{"Commit counts no deletes", "limits/the limit of a Commit counts when all is written"},
	{"Commit refuses above the limit, always", "limits/a Commit that adds no key works above the limit"},

	{"Commit checks first, then writes", "commits/two writers that count with Commit lose nothing"},
	{"Commit checks one key only", "commits/one wrong expectation among several refuses everything"},
	{"Commit ignores expected absence", "commits/expecting absence is refused by any value, also an empty one"},
	{"Commit takes empty for absent", "commits/expecting an empty value is refused by absence and by any other value"},
	{"Commit accepts the old value after a Delete", "commits/a value that was removed or replaced is not expected any more"},
	{"Commit looks at 100 expectations only", "commits/Commit expects and writes hundreds of keys"},
	{"Commit compares lengths", "commits/Commit compares bytes, all of them"},
	{"Commit ignores case", "commits/Commit compares bytes, all of them"},
	{"CommitTimed says half", "commits/CommitTimed says no less than how long the session lives"},
	{"Commit stores nil", "commits/Commit of a nil value deletes, of an empty one stores it"},
	{"a refused Commit returns nothing", "commits/a refused Commit returns the current values of all expected keys in their order"},
	{"a refused Commit returns the first difference", "commits/a refused Commit returns the current values of all expected keys in their order"},
	{"GetMany is torn", "commits/transfers by two nodes keep the sum, and GetMany never sees half of one"},

	{"DestroyIf is not supported, but done", "values/an ability is there or ErrUnsupported, always and without a trace"},
	{"DestroyIf only empties", "departures/DestroyIf with all values ends the session"},
	{"DestroyIf overlooks further keys", "departures/DestroyIf with other values is ErrConflict and changes nothing"},
	{"DestroyIf overlooks further keys", "departures/DestroyIf sees what other handles have written and removed"},
	{"DestroyIf overlooks further keys", "departures/DestroyIf takes hundreds of keys and large values"},
	{"DestroyIf compares lengths", "departures/DestroyIf with other values is ErrConflict and changes nothing"},
	{"DestroyIf takes empty for absent", "departures/DestroyIf with other values is ErrConflict and changes nothing"},
	{"DestroyIf ignores expected absence", "departures/DestroyIf with other values is ErrConflict and changes nothing"},
	{"DestroyIf only empties", "departures/a suspended session can be left with DestroyIf"},
	{"DestroyIf forgives the dead", "departures/DestroyIf of a life that has ended is ErrDestroyed and leaves the later one alone"},
	{"DestroyIf forgives the dead", "departures/one of many that leave with DestroyIf ends the session"},
	{"DestroyIf hits later lives", "departures/DestroyIf of a life that has ended is ErrDestroyed and leaves the later one alone"},
	{"DestroyIf compares first, then removes", "departures/DestroyIf drops no write that was acknowledged"},

	{"context ignored", "failures/a call with a context that has ended fails with its error and changes nothing"},
	{"error with ID", "failures/no error text contains the session ID"},
	{"error with half of the ID", "failures/no error text contains the session ID"},
	{"Renew always returns a slice", "failures/Renew returns nil when all live, and else an error for each that does not"},
	{"Renew reports nothing", "failures/Renew returns nil when all live, and else an error for each that does not"},
	{"Renew reports only failures", "failures/Renew returns nil when all live, and else an error for each that does not"},
	{"one failed renewal fails all", "failures/Renew returns nil when all live, and else an error for each that does not"},
	{"foreign Stores are ignored", "failures/Renew and Suspend refuse Stores that the Backend did not hand out"},
	{"foreign Stores are refused with an error of another kind", "failures/Renew and Suspend refuse Stores that the Backend did not hand out"},
	{"an ended context hides foreign Stores", "failures/Renew and Suspend refuse Stores that the Backend did not hand out"},
	{"Suspend ignores foreign Stores", "failures/Renew and Suspend refuse Stores that the Backend did not hand out"},
	{"Destroy hints at nobody", "notices/Destroy on another node is hinted at"},
	{"Resume hints at nobody", "notices/Resume on another node is hinted at"},
	{"one watcher hides the others", "notices/each of several who watch a session is hinted at"},
	{"the end of a lease hints at nobody", "notices/the end of a lease is hinted at"},
	{"the end of a grace hints at nobody", "notices/the end of a grace is hinted at"},
	{"foreign Stores are watched", "notices/Watch refuses Stores that the Backend did not hand out"},

	{"all lists are one", "indexes/what one node puts in a list every other finds there, and nothing else"},
	{"lists ignore case", "indexes/what one node puts in a list every other finds there, and nothing else"},
	{"RemoveEntries removes nothing", "indexes/RemoveEntries removes one entry and no other"},
	{"RemoveEntries removes by prefix", "indexes/RemoveEntries removes one entry and no other"},
	{"RemoveEntries of the absent fails", "indexes/RemoveEntries removes one entry and no other"},
	{"members are text", "indexes/every member of 1 to 1024 bytes is a member of its own"},
	{"members end at NUL", "indexes/every member of 1 to 1024 bytes is a member of its own"},
	{"bad entries are accepted", "indexes/every other member or list is refused"},
	{"Entries returns 1000 at most", "indexes/a list of thousands is read page by page"},
	{"Entries returns everything at once", "indexes/a list of thousands is read page by page"},
	{"Entries counts instead of remembering where it was", "indexes/a member that stays is on a page, whatever comes and goes meanwhile"},
	{"namespaces share sessions", "indexes/lists of another namespace are others"},
	{"entries last twice as long", "indexes/a member is there for its time and then gone"},
	{"entries last half as long", "indexes/a member is there for its time and then gone"},
	{"entries never end", "indexes/the last member of a list is gone after its time"},
	{"PutEntries lengthens nothing", "indexes/PutEntries lengthens the time of a member"},
	{"PutEntries shortens", "indexes/PutEntries never shortens the time of a member"},
	{"conditions ignore absence", "indexes/RenewIf of a session with other values is ErrConflict and does not renew"},
	{"conditions take empty for absent", "indexes/RenewIf of a session with other values is ErrConflict and does not renew"},
	{"conditions compare lengths", "indexes/RenewIf of a session with other values is ErrConflict and does not renew"},
	{"a refused RenewIf renews", "indexes/RenewIf of a session with other values is ErrConflict and does not renew"},
	{"RenewIf expects nothing", "indexes/RenewIf of several decides for each"},
	{"one refused RenewIf refuses all", "indexes/RenewIf of several decides for each"},
	{"RenewIf reaches 128 sessions only", "indexes/RenewIf of hundreds renews each of them"},
	{"Renew does nothing", "indexes/RenewIf renews a session that has the values"},
	{"RenewIf shortens", "indexes/RenewIf never shortens a life"},
	{"SuspendIf expects nothing", "indexes/SuspendIf suspends a session that has the values, and no other"},
	{"TimeLeft says half", "indexes/TimeLeft is no less than what is left"},
	{"entries are put after all", "indexes/an Indexer whose context has ended does nothing"},
	{"context ignored", "indexes/an Indexer whose context has ended does nothing"},
	{"usable after Close", "indexes/after Close an Indexer refuses"},

	{"Scan names suspended sessions never", "scans/Scan names the living sessions of all nodes, suspended ones among them"},
	{"Scan names escaped IDs", "scans/Scan names every ID that CheckID accepts as it is"},
	{"Scan names what was destroyed", "scans/Scan does not name a session that was destroyed"},
	{"Scan names lists", "scans/Scan names nothing but sessions"},
	{"namespaces share sessions", "scans/Scan names no session of another namespace"},
	{"Scan counts instead of remembering where it was", "scans/Scan of thousands names each session that lives all the time, whatever comes and goes meanwhile"},
	{"Scan ends after the first page", "scans/Scan of thousands names each session that lives all the time, whatever comes and goes meanwhile"},
	{"Scan takes any cursor", "scans/a cursor that Scan did not return is an error"},
	{"context ignored", "scans/a Scan whose context has ended fails with its error"},
	{"usable after Close", "scans/after Close a Scanner refuses"},

	{"usable after Close", "failures/after Close everything is ErrClosed"},
	{"Close twice fails", "failures/closing twice is harmless"},
}

// broad are bugs with which all groups are run, so that also the rules fail that
// are not the first to catch anything.
var broad = []bug{"initial values are lost", "writes take the lease away", "absent is nil", "Attach creates", "Destroy only empties"}

var failedRule = regexp.MustCompile(`(?m)^ *--- FAIL: TestBroken/(\S+/\S+)`)

// The suite must fail on each broken backend, by the rule that forbids the bug,
// and every rule must be able to fail.
func TestMutants(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a process for each broken backend")
	}
	var (
		mu  sync.Mutex
		bit = make(map[string]bool) // guarded by mu; the rules that some backend broke
	)
	t.Run("bugs", func(t *testing.T) {
		for _, m := range mutants {
			t.Run(string(m.bug), func(t *testing.T) {
				t.Parallel()
				group, _, _ := strings.Cut(m.rule, "/")
				if slices.Contains(broad, m.bug) {
					group = ""
				}
				// A race that two processors, or a busy machine, do not run
				// into has further chances.
				failed := brokenRules(t, m.bug, group)
				for n := 0; n < 2 && !slices.Contains(failed, m.rule); n++ {
					failed = append(failed, brokenRules(t, m.bug, group)...)
				}
				if !slices.Contains(failed, m.rule) {
					t.Errorf("the suite on a backend with the bug %q fails by %q, want %q among them", m.bug, failed, m.rule)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, rule := range failed {
					bit[rule] = true
				}
			})
		}
	})
	for _, rule := range storetest.RuleNames() {
		if !bit[rule] {
			t.Errorf("no broken backend breaks the rule %q", rule)
		}
	}
}

// brokenRules runs a group of the suite, or all of it, on a backend with the bug
// and returns the rules that it finds broken.
func brokenRules(t *testing.T, b bug, group string) (rules []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBroken$/^"+cmp.Or(group, ".*")+"$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), broken+"="+string(b))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	for _, f := range failedRule.FindAllSubmatch(out, -1) {
		rules = append(rules, strings.ReplaceAll(string(f[1]), "_", " "))
	}
	for _, part := range []string{"rule: ", "got: ", "want: "} {
		if !strings.Contains(string(out), part) {
			t.Fatalf("the failure does not say %q:\n%s", part, out[max(0, len(out)-2000):])
		}
	}
	return rules
}
