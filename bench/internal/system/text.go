package system

import "encoding/json"

// The raw clients take strings. A string goes as it is, any other value as JSON,
// as the clients' documentation does it.

func toText[T any](v T) (string, error) {
	if s, ok := any(v).(string); ok {
		return s, nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}

func fromText[T any](text string) (T, error) {
	var v T
	if s, ok := any(&v).(*string); ok {
		*s = text
		return v, nil
	}
	err := json.Unmarshal([]byte(text), &v)
	return v, err
}
