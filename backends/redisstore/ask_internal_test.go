package redisstore

import (
	"bufio"
	"cmp"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Answers of servers that the tests cannot start, as these give them.
func TestQuestion(t *testing.T) {
	const dragonfly = "# Server\r\nredis_version:7.4.0\r\ndragonfly_version:df-v1.40.1\r\nthread_count:%d\r\n"
	bulk := func(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }
	hello := func(name string) string { return "*4\r\n" + bulk("server") + bulk(name) + bulk("proto") + ":2\r\n" }
	const forbidden = "-NOPERM this user has no permissions\r\n"
	for _, tt := range []struct {
		info, hello string
		want        int32
		fails       bool
	}{
		{info: bulk("# Server\r\nredis_version:7.0.15\r\n"), want: gains},
		{info: bulk(fmt.Sprintf(dragonfly, 4)), want: loses},
		{info: bulk(fmt.Sprintf(dragonfly, 1)), want: gains},
		{info: bulk(fmt.Sprintf(dragonfly, 16)), want: loses},
		{info: forbidden, hello: hello("redis"), want: gains},
		{info: forbidden, hello: hello("dragonfly"), want: loses},
		{info: forbidden, hello: forbidden, want: gains},
		{info: "-ERR unknown command 'info'\r\n", hello: "-ERR unknown command 'hello'\r\n", want: gains},
		{info: "-ERR max number of clients reached\r\n", fails: true},
		{info: "-NOAUTH Authentication required.\r\n", fails: true},
		{info: forbidden, hello: "-LOADING in a moment\r\n", fails: true},
	} {
		answers := func(conn net.Conn) {
			defer conn.Close()
			for in := bufio.NewScanner(conn); in.Scan(); {
				answer := ""
				switch word := strings.ToLower(in.Text()); word {
				case "info":
					answer = tt.info
				case "hello": // also part of the handshake
					answer = cmp.Or(tt.hello, "-ERR unknown command 'hello'\r\n")
				}
				if answer != "" {
					if _, err := conn.Write([]byte(answer)); err != nil {
						return
					}
				}
			}
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go answers(conn)
			}
		}()
		client := redis.NewClient(&redis.Options{Addr: l.Addr().String(), Protocol: 2, DisableIdentity: true, MaxRetries: -1})
		got, err := question(t.Context(), client)
		if got != tt.want || (err != nil) != tt.fails {
			t.Errorf("question() of a server that answers INFO by %q and HELLO by %q = %d, %v, want %d, failure %t", tt.info, tt.hello, got, err, tt.want, tt.fails)
		}
		client.Close()
		l.Close()
	}
}
