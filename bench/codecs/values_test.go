package codecs

//go:generate go run github.com/tinylib/msgp@v1.6.5 -file values_test.go -io=false -tests=false -o values_msgp_test.go

// Claims is workload.Claims, with methods that tinylib/msgp generated: the measure of what code for one type can reach.
type Claims struct {
	Subject  string   `msg:"sub"`
	Issuer   string   `msg:"iss"`
	Tenant   string   `msg:"tenant"`
	IssuedAt int64    `msg:"iat"`
	Expires  int64    `msg:"exp"`
	Admin    bool     `msg:"admin"`
	Scopes   []string `msg:"scopes"`
}

// Room is workload.Room.
type Room struct {
	ID     string `msg:"id"`
	Role   string `msg:"role"`
	Joined int64  `msg:"joined"`
	Unread int    `msg:"unread"`
}

// Rooms is a list of rooms.
type Rooms []Room

// Handshake is workload.Handshake.
type Handshake struct {
	Address   string            `msg:"address"`
	URL       string            `msg:"url"`
	Protocol  int               `msg:"protocol"`
	Secure    bool              `msg:"secure"`
	Connected int64             `msg:"connected"`
	Headers   map[string]string `msg:"headers"`
	Query     map[string]string `msg:"query"`
}
