package redisstore

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// answers is what a server that the tests cannot start answers to questions.
type answers struct{ info, hello, eval string }

const (
	redisHello     = "*6\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:2\r\n"
	dragonflyHello = "*8\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n" +
		"$17\r\ndragonfly_version\r\n$10\r\ndf-v1.40.1\r\n$5\r\nproto\r\n:2\r\n"
	forbidden = "-NOPERM this user has no permissions\r\n"
)

func bulk(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }

func dragonflyInfo(threads string) string {
	return bulk("# Server\r\nredis_version:7.4.0\r\ndragonfly_version:df-v1.40.1\r\nredis_mode:standalone\r\n" + threads)
}

// answering returns a client of a server that gives the answers that said holds.
func answering(t *testing.T, said *atomic.Pointer[answers]) *redis.Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	answer := func(conn net.Conn) {
		defer conn.Close()
		for in := bufio.NewScanner(conn); in.Scan(); {
			text := ""
			switch strings.ToLower(in.Text()) {
			case "info":
				text = said.Load().info
			case "eval":
				text = said.Load().eval
			case "hello": // also part of the handshake
				text = cmp.Or(said.Load().hello, "-ERR unknown command 'hello'\r\n")
			}
			if _, err := conn.Write([]byte(text)); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answer(conn)
		}
	}()
	client := redis.NewClient(&redis.Options{Addr: l.Addr().String(), Protocol: 2, DisableIdentity: true, MaxRetries: -1})
	t.Cleanup(func() { client.Close() })
	return client
}

func TestQuestion(t *testing.T) {
	for _, tt := range []struct {
		said  answers
		want  int32
		sure  bool
		fails bool
	}{
		{said: answers{info: bulk("# Server\r\nredis_version:7.0.15\r\n")}, want: gains, sure: true},
		{said: answers{info: dragonflyInfo("thread_count:4\r\n")}, want: loses, sure: true},
		{said: answers{info: dragonflyInfo("thread_count:1\r\n")}, want: gains, sure: true},
		{said: answers{info: dragonflyInfo("thread_count:16\r\n")}, want: loses, sure: true},
		{said: answers{info: dragonflyInfo("")}, want: loses, sure: true}, // a managed one
		{said: answers{info: forbidden, hello: redisHello}, want: gains},
		{said: answers{info: forbidden, hello: dragonflyHello}, want: loses},
		{said: answers{info: forbidden, hello: forbidden}, want: gains},
		{said: answers{info: "-ERR unknown command 'info'\r\n", hello: "-ERR unknown command 'hello'\r\n"}, want: gains},
		{said: answers{info: "-ERR max number of clients reached\r\n"}, fails: true},
		{said: answers{info: "-NOAUTH Authentication required.\r\n"}, fails: true},
		{said: answers{info: forbidden, hello: "-LOADING in a moment\r\n"}, fails: true},
	} {
		var said atomic.Pointer[answers]
		said.Store(&tt.said)
		got, sure, err := question(t.Context(), answering(t, &said))
		if got != tt.want || sure != tt.sure || (err != nil) != tt.fails {
			t.Errorf("question() of a server that says %+q = %d, %t, %v, want %d, %t, failure %t", tt.said, got, sure, err, tt.want, tt.sure, tt.fails)
		}
	}
}

// No answer, and no failure, holds for good.
func TestAskerAsksAgain(t *testing.T) {
	var said atomic.Pointer[answers]
	said.Store(&answers{info: forbidden, hello: redisHello})
	var a asker
	client := answering(t, &said)
	a.start(func(context.Context) (*redis.Client, error) { return client, nil })
	defer a.stop()
	ask := func(now answers, want bool, next time.Duration) {
		t.Helper()
		said.Store(&now)
		a.next.Store(0) // the time has come
		since := time.Since(a.begun)
		a.merges()
		for a.asking.Load() {
			time.Sleep(time.Millisecond)
		}
		a.asking.Store(true) // so that merges only tells
		if got := a.merges(); got != want {
			t.Errorf("merges() after %+q = %t, want %t", now, got, want)
		}
		a.asking.Store(false)
		// The question itself takes some time.
		if got := time.Duration(a.next.Load()) - since; got < next || got > next+askTimeout {
			t.Errorf("after %+q the asker asks again in %v, want %v", now, got, next)
		}
	}
	ask(answers{info: forbidden, hello: redisHello}, true, maxAskPause)
	ask(answers{info: forbidden, hello: dragonflyHello}, false, maxAskPause)
	ask(answers{info: dragonflyInfo("thread_count:1\r\n")}, true, holdsFor)
	ask(answers{info: "-LOADING in a moment\r\n"}, true, minAskPause)
	ask(answers{info: "-LOADING in a moment\r\n"}, true, 2*minAskPause)
	ask(answers{info: dragonflyInfo("thread_count:8\r\n")}, false, holdsFor)
	ask(answers{info: "-NOAUTH Authentication required.\r\n"}, false, minAskPause)
	ask(answers{info: bulk("# Server\r\nredis_version:7.0.15\r\n")}, true, holdsFor)
}
