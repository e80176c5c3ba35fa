package live

import "net/http"

// Query returns an [Options].ID that reads the query parameter name. Access logs
// often record the query; prefer [Header] or [Cookie] where the client can.
func Query(name string) func(*http.Request) string {
	return func(r *http.Request) string {
		if r == nil || r.URL == nil {
			return ""
		}
		return r.URL.Query().Get(name)
	}
}

// Header returns an [Options].ID that reads the header name.
func Header(name string) func(*http.Request) string {
	return func(r *http.Request) string {
		if r == nil {
			return ""
		}
		return r.Header.Get(name)
	}
}

// Cookie returns an [Options].ID that reads the cookie name.
func Cookie(name string) func(*http.Request) string {
	return func(r *http.Request) string {
		if r == nil {
			return ""
		}
		c, err := r.Cookie(name)
		if err != nil {
			return ""
		}
		return c.Value
	}
}
