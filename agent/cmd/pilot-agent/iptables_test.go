package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// parseIptables reads a command line and an environment.
func parseIptables(t *testing.T, env map[string]string, args ...string) (*iptablesOptions, error) {
	t.Helper()
	var o iptablesOptions
	f := pflag.NewFlagSet("istio-iptables", pflag.ContinueOnError)
	o.flags(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	err := o.fromEnvironment(f, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	return &o, err
}

func TestIptablesEnvironment(t *testing.T) {
	env := map[string]string{
		"ENVOY_PORT":                          "1",
		"PROXY_UID":                           "2000",
		"ISTIO_INBOUND_PORTS":                 "80",
		"ISTIO_LOCAL_EXCLUDE_PORTS":           "15020",
		"ISTIO_META_DNS_CAPTURE":              "true",
		"INVALID_DROP":                        "true",
		"ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE": "7",
	}
	o, err := parseIptables(t, env, "-b", "*", "-x", "", "-i", "*")
	if err != nil {
		t.Fatal(err)
	}
	if o.OutboundPort != "15001" {
		t.Errorf("-p has no variable, but is %s", o.OutboundPort)
	}
	if o.InboundPorts != "*" {
		t.Errorf("the command line does not win over the environment: -b is %q", o.InboundPorts)
	}
	if o.ProxyUID != "2000" || o.InboundPortsExclude != "15020" || !o.RedirectDNS || !o.DropInvalid || o.OwnerGroupsExclude != "7" {
		t.Errorf("the environment is not read: %+v", o)
	}
	if _, err := parseIptables(t, map[string]string{"INVALID_DROP": "maybe"}); err == nil || !strings.Contains(err.Error(), "INVALID_DROP") {
		t.Errorf("a bad variable is not named: %v", err)
	}
}

func TestIptablesDryRun(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("search x\nnameserver 10.96.0.10\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := newIptablesCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{
		"-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*",
		"-d", "15090,15021,15020", "--log_output_level=default:info", "--redirect-dns", "--dual-stack",
		"--dry-run", "--resolv-conf", conf,
	})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# IPv4", "# IPv6", "-A OUTPUT -j ISTIO_OUTPUT\n", "-A ISTIO_INBOUND -p tcp -m tcp --dport 15021 -j RETURN\n",
		"-A ISTIO_OUTPUT_DNS -d 10.96.0.10/32 -p udp -m udp --dport 53 -j REDIRECT --to-ports 15053\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not among the rules:\n%s", want, &out)
		}
	}
}

func TestIptablesRefused(t *testing.T) {
	for flag, args := range map[string][]string{
		"--istio-local-exclude-ports":         {"-d", "http"},
		"--istio-service-cidr":                {"-i", "10.0.0.0/99"},
		"--istio-inbound-interception-mode":   {"-m", "TPROXY"},
		"--redirect-dns: reading name server": {"--redirect-dns", "--resolv-conf", "/no/such/file"},
	} {
		cmd := newIptablesCommand()
		cmd.SetArgs(append(args, "--dry-run"))
		cmd.SetOut(new(bytes.Buffer))
		cmd.SetErr(new(bytes.Buffer))
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%v: error %v does not name %s", args, err, flag)
		}
	}
}
