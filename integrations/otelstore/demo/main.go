// Command demo is a program with sessions for the dashboard to show. Clients come, use their sessions, lose their
// connections and come back, and some make mistakes. It serves its metrics to Prometheus.
//
//	docker compose up     # with Redis, Prometheus and Grafana: http://127.0.0.1:3000
//	go run .              # alone, with the Redis that STORE_URL names: http://127.0.0.1:9464/metrics
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/integrations/otelstore"
	"github.com/sessionkv/store/integrations/otelstore/otelredis"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9464", "the `address` to serve /metrics at")
	clients := flag.Int("clients", 200, "how many clients there are at once")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	if err := run(ctx, l, cmp.Or(os.Getenv("STORE_URL"), "redis://127.0.0.1:6379?namespace=demo"), *clients); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, l net.Listener, url string, clients int) (err error) {
	defer l.Close()
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		return err
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))
	opts := &otelstore.Options{MeterProvider: meters}

	backend, err := backends.OpenWith(ctx, url, &backends.Options{
		Redis: func(client redis.UniversalClient) error { return otelredis.Instrument(client, opts) },
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	sessions, err := store.New(otelstore.Wrap(backend, opts), &store.Options{Grace: 30 * time.Second})
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, sessions.Close(closing))
	}()
	stop, err := otelstore.Observe(sessions, meters)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lobby, err := sessions.Create(ctx, store.NewID())
	if err != nil {
		return err
	}
	for range clients {
		wg.Go(func() { client(ctx, sessions, lobby.ID()) })
	}

	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	log.Printf("metrics at http://%s/metrics", l.Addr())
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
