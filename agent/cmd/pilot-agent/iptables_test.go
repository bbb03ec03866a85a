package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

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
		"--cni-mode":                          {"--cni-mode"},
		"--native-nftables":                   {"--native-nftables"},
		"--network-namespace":                 {"--network-namespace", "/no/such/file"},
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

// TestIptablesOfIstio takes every flag that Istio's own templates and tools pass.
func TestIptablesOfIstio(t *testing.T) {
	o, err := parseIptables(t, map[string]string{"PROBE_TIMEOUT": "7s", "SKIP_RULE_APPLY": "true"},
		"-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020",
		"-t", "1337", "-r", "133", "--iptables-probe-port", "15002", "--run-validation", "--log_as_json",
		"--log_output_level=default:info", "--cni-mode=false", "--native-nftables=false", "--reconcile=false")
	if err != nil {
		t.Fatal(err)
	}
	if o.probeTimeout != 7*time.Second || !o.skipApply || !o.validate || o.probePort != 15002 {
		t.Errorf("%+v", o)
	}
}

// TestIptablesValidation applies rules in a network namespace that is named, and tries them out there; in
// one without rules the exit code says so.
func TestIptablesValidation(t *testing.T) {
	ruled, bare := namespaceFile(t), namespaceFile(t)
	execute := func(args ...string) error {
		done := make(chan error)
		go func() { // the command keeps its thread in the namespace
			cmd := newIptablesCommand()
			cmd.SetOut(new(bytes.Buffer))
			cmd.SetErr(new(bytes.Buffer))
			cmd.SetArgs(append([]string{"-u", "1337", "-b", "*", "-i", "*", "-d", "15020", "--run-validation"}, args...))
			done <- cmd.ExecuteContext(t.Context())
		}()
		return <-done
	}
	if err := execute("--network-namespace", ruled); err != nil {
		t.Errorf("rules that were applied: %v", err)
	}
	if err := execute("--network-namespace", ruled, "--skip-rule-apply"); err != nil {
		t.Errorf("rules of another run: %v", err)
	}
	err := execute("--network-namespace", bare, "--skip-rule-apply", "--probe-timeout", "1s")
	if err == nil || exitCode(err) != 126 {
		t.Errorf("without rules: %v, exit code %d", err, exitCode(err))
	}
}

// namespaceFile makes a network namespace with loopback up, and gives its file.
func namespaceFile(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	cmd := exec.Command("sh", "-c", "ip link set lo up && echo up && exec sleep 60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if _, err := out.Read(make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid)
}
