package main

import (
	"encoding/json"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// read decodes a file of YAML. A field that into does not have is an error.
func read(t *testing.T, name string, into any) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

type service struct {
	Image       string
	Command     string
	WorkingDir  string `yaml:"working_dir"`
	Environment map[string]string
	Volumes     []string
	Ports       []string
	DependsOn   []string `yaml:"depends_on"`
}

type composed struct {
	Name     string
	Services map[string]service
	Volumes  map[string]struct{}
}

// mounted returns what of the host is at a path within the service's container, "" for nothing.
func (s service) mounted(at string) (host string) {
	longest := ""
	for _, v := range s.Volumes {
		source, rest, _ := strings.Cut(v, ":")
		target, _, _ := strings.Cut(rest, ":")
		if (at == target || strings.HasPrefix(at, target+"/")) && len(target) > len(longest) && strings.HasPrefix(source, ".") {
			longest, host = target, path.Join(source, strings.TrimPrefix(at, target))
		}
	}
	return host
}

func (c composed) reaches(t *testing.T, what, host string) service {
	t.Helper()
	s, ok := c.Services[host]
	if !ok {
		t.Errorf("%s leads to %q, which is no service", what, host)
	}
	return s
}

// TestComposeFits: what the services mount is there, they find each other, and Grafana finds the dashboard and its data.
func TestComposeFits(t *testing.T) {
	var c composed
	read(t, "compose.yaml", &c)
	for name, s := range c.Services {
		if image, tag, ok := strings.Cut(s.Image, ":"); image == "" || !ok || tag == "latest" {
			t.Errorf("the image of %s is %q, want one of a version", name, s.Image)
		}
		for _, other := range s.DependsOn {
			c.reaches(t, name+": depends_on", other)
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if !strings.HasPrefix(source, ".") {
				if _, ok := c.Volumes[source]; !ok {
					t.Errorf("%s mounts %s, and there is no such volume", name, v)
				}
			} else if _, err := os.Stat(source); err != nil || !strings.HasSuffix(v, ":ro") {
				t.Errorf("%s mounts %s, read-only: %t: %v", name, v, strings.HasSuffix(v, ":ro"), err)
			}
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s publishes the port %s, want loopback only", name, p)
			}
		}
	}

	// The program: its folder, its store and where it listens.
	app := c.Services["app"]
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	if dir, err := filepath.Abs(app.mounted(app.WorkingDir)); err != nil || dir != here {
		t.Errorf("the app runs in %q, want the folder of this test", app.WorkingDir)
	}
	if u, err := url.Parse(app.Environment["STORE_URL"]); err != nil {
		t.Error(err)
	} else {
		c.reaches(t, "STORE_URL", u.Hostname())
	}
	arguments := strings.Fields(app.Command)
	i := slices.Index(arguments, "-listen")
	if i < 0 || i+1 == len(arguments) {
		t.Fatalf("the app's command is %q, want -listen", app.Command)
	}
	_, port, err := net.SplitHostPort(arguments[i+1])
	if err != nil {
		t.Fatal(err)
	}
	needs, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if _, version, _ := strings.Cut(app.Image, ":"); !strings.Contains(string(needs), "\ngo "+version+".") {
		t.Errorf("the app's image is %s, and go.mod needs another version of Go", app.Image)
	}

	// Prometheus asks the app, with the job that it is.
	if host := c.Services["prometheus"].mounted("/etc/prometheus/prometheus.yml"); host != "prometheus.yaml" {
		t.Errorf("Prometheus gets the configuration %q, want prometheus.yaml", host)
	}
	var prometheus struct {
		Global struct {
			Interval string `yaml:"scrape_interval"`
		}
		Scrape []struct {
			Job     string                       `yaml:"job_name"`
			Targets []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	read(t, "prometheus.yaml", &prometheus)
	if len(prometheus.Scrape) != 1 || len(prometheus.Scrape[0].Targets) != 1 || !slices.Equal(prometheus.Scrape[0].Targets[0].Targets, []string{net.JoinHostPort("app", port)}) {
		t.Errorf("Prometheus asks %+v, want the app at port %s", prometheus.Scrape, port)
	}

	// Grafana has one data source, which is Prometheus', and which the dashboard takes.
	grafana := c.Services["grafana"]
	const provisioning = "/etc/grafana/provisioning"
	var sources struct {
		Version     int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			Default                      bool              `yaml:"isDefault"`
			JSON                         map[string]string `yaml:"jsonData"`
		}
	}
	read(t, filepath.Join(grafana.mounted(provisioning+"/datasources"), "prometheus.yaml"), &sources)
	if len(sources.Datasources) != 1 || sources.Version != 1 {
		t.Fatalf("Grafana gets the data sources %+v, want one", sources)
	}
	source := sources.Datasources[0]
	if u, err := url.Parse(source.URL); err != nil || !source.Default || source.UID == "" || source.JSON["timeInterval"] != prometheus.Global.Interval {
		t.Errorf("Grafana gets the data source %+v, %v; want a default one with a UID, and the interval %s", source, err, prometheus.Global.Interval)
	} else {
		s := c.reaches(t, "the data source", u.Hostname())
		if len(s.Ports) != 1 || !strings.HasSuffix(s.Ports[0], ":"+u.Port()) {
			t.Errorf("the data source is at port %s, and the service publishes %q", u.Port(), s.Ports)
		}
	}
	var boards struct {
		Version   int `yaml:"apiVersion"`
		Providers []struct {
			Name, Type string
			Options    struct{ Path string }
		}
	}
	read(t, filepath.Join(grafana.mounted(provisioning+"/dashboards"), "store.yaml"), &boards)
	if len(boards.Providers) != 1 || boards.Version != 1 || boards.Providers[0].Type != "file" {
		t.Fatalf("Grafana gets the dashboards %+v, want one provider of files", boards)
	}
	home := grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	if path.Dir(home) != boards.Providers[0].Options.Path || grafana.mounted(home) != "../dashboard.json" {
		t.Errorf("the page to begin with is %q, the dashboards lie in %q; want ../dashboard.json in there", home, boards.Providers[0].Options.Path)
	}
	checkSources(t, source.Type, source.UID)
}

// checkSources checks that each query of the dashboard goes to the data source with this type and UID. It does by the
// UID, or by a variable that offers those of the type.
func checkSources(t *testing.T, kind, uid string) {
	t.Helper()
	type reference struct{ Type, UID string }
	var dashboard struct {
		Templating struct {
			List []struct {
				Name, Type string
				Query      any
				Datasource *reference
			}
		}
		Panels []struct {
			Title      string
			Datasource reference
			Targets    []struct{ Datasource reference }
		}
	}
	text, err := os.ReadFile("../dashboard.json")
	if err == nil {
		err = json.Unmarshal(text, &dashboard)
	}
	if err != nil {
		t.Fatal(err)
	}
	fits := map[string]bool{uid: true}
	for _, v := range dashboard.Templating.List {
		if v.Type == "datasource" && v.Query == kind {
			fits["${"+v.Name+"}"] = true
		}
	}
	check := func(what string, r reference) {
		if r.Type != kind || !fits[r.UID] {
			t.Errorf("%s asks the data source %+v, want one of type %s with a UID among %v", what, r, kind, fits)
		}
	}
	for _, v := range dashboard.Templating.List {
		if v.Datasource != nil {
			check("the variable "+v.Name, *v.Datasource)
		}
	}
	for _, p := range dashboard.Panels {
		check(p.Title, p.Datasource)
		for _, target := range p.Targets {
			check(p.Title, target.Datasource)
		}
	}
}
