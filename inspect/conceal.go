package inspect

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Sensitive reports whether a value under such a name is kept off the page, unless [Options].Redact
// says otherwise. These are names of tokens, claims, passwords, keys and the like, however they are
// written (accessToken, ACCESS_TOKEN, x-access-token).
func Sensitive(name string) bool {
	if len(name) > maxName {
		return true
	}
	words := wordsOf(name)
	if slices.ContainsFunc(words, func(w string) bool { return slices.Contains(sensitiveWords, w) }) {
		return true
	}
	whole := strings.Join(words, "")
	return slices.ContainsFunc(sensitiveParts, func(part string) bool { return strings.Contains(whole, part) })
}

// maxName is the longest name that is looked at.
const maxName = 1 << 10

// sensitiveParts are recognised anywhere in a name, sensitiveWords as whole words: "pin" is not in
// "shipping".
var (
	sensitiveParts = []string{
		"token", "passw", "passphrase", "secret", "claim", "credential", "cookie", "authorization", "bearer", "signature",
		"apikey", "privatekey", "accesskey", "session", "oauth", "csrf", "xsrf", "jwt", "nonce",
	}
	sensitiveWords = []string{"auth", "pass", "pwd", "pin", "otp", "totp", "mfa", "sid", "key", "keys", "hmac", "mac", "sig"}
)

// wordsOf splits a name into its words, in lower case.
func wordsOf(name string) (words []string) {
	var word []rune
	end := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
			word = word[:0]
		}
	}
	runes := []rune(name)
	for i, c := range runes {
		if !unicode.IsLetter(c) {
			end()
			continue
		}
		if unicode.IsUpper(c) && i > 0 && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			end()
		}
		word = append(word, c)
	}
	end()
	return words
}

const redacted = Omitted("redacted")

// A concealer takes out of values what names say must not be shown.
type concealer func(name string) bool

// hides reports whether a value is kept off the page. If the function of the program fails, the value is
// hidden.
func (c concealer) hides(name string) (hide bool) {
	defer func() {
		if recover() != nil {
			hide = true
		}
	}()
	return c(name)
}

// conceal returns v as it may be shown.
func (c concealer) conceal(v Value) Value {
	if c.hides(v.Key) {
		v.Data = redacted
	} else {
		v.Data = c.data(v.Data)
	}
	return v
}

func (c concealer) data(data any) any {
	switch data := data.(type) {
	case string:
		if c.hidesText(data) {
			return redacted
		}
	case []any:
		for i := range data {
			data[i] = c.data(data[i])
		}
	case Object:
		for i, f := range data {
			name, ok := f.Name.(string)
			if !ok {
				name = scalarName(f.Name)
			}
			data[i].Name = c.data(f.Name)
			if c.hides(name) {
				data[i].Value = redacted
			} else {
				data[i].Value = c.data(f.Value)
			}
		}
	}
	return data
}

var (
	// tokenText is a JSON Web Token (RFC 7519), or what an Authorization header holds.
	tokenText = regexp.MustCompile(`eyJ[\w-]{6,}\.[\w-]*\.|^(?i:bearer|basic|digest|negotiate)\s`)

	// namedText are the names of a query, of a cookie or header, and of JSON, within a text.
	namedText = regexp.MustCompile(`(?:^|[?&;,\s])([\w.\[\]%-]{1,64})\s*[=:]|"([^"\\]{1,64})"\s*:`)
)

// hidesText reports whether a text is kept off the page. It is if it is a token, or a text such as a URL or JSON with a
// name in it that is to be hidden.
func (c concealer) hidesText(text string) bool {
	if tokenText.MatchString(text) {
		return true
	}
	for _, m := range namedText.FindAllStringSubmatch(text, -1) {
		name := m[1] + m[2]
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if c.hides(name) {
			return true
		}
	}
	return false
}

// scalarName returns as text a name that is not a string; of a container it is its line.
func scalarName(name any) string {
	if b, ok := name.([]byte); ok {
		return string(b)
	}
	return Value{Data: name}.line(maxName)
}
