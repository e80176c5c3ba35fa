package testserver

import (
	"io"
	"net"
	"testing"
)

// What Between carries arrives, and its connections end with its test.
func TestBetween(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	var client net.Conn
	t.Run("lives", func(t *testing.T) {
		addr := Between(t, server.Addr().String(), func(client, server net.Conn) {
			go io.Copy(client, server)
			io.Copy(server, client)
		})
		if client, err = net.Dial("tcp", addr); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 2)
		if _, err := client.Write([]byte("hi")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, got); err != nil || string(got) != "hi" {
			t.Errorf("the server answers %q, %v, want hi", got, err)
		}
	})
	if t.Failed() {
		return
	}
	defer client.Close()
	if n, err := client.Read(make([]byte, 1)); err == nil {
		t.Errorf("Read() after the end = %d bytes, want an error", n)
	}
}
