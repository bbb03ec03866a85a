package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/pilot/discovery"
	"github.com/pilothouse-mesh/pilothouse/spelling"
)

// options are the flags; their names and defaults are Istio's where it has them.
type options struct {
	discovery.Config
	kubeconfig string
	logLevel   string
}

func (o *options) register(f *pflag.FlagSet) {
	f.StringArrayVar(&o.ConfigDirs, "configDir", nil, "directory of YAML; given several times, a later one wins")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "how to reach the API server that has the configuration; without it and without --configDir, that of the cluster that this is a pod of")
	f.BoolVar(&o.AllowEmpty, "allow-empty", false, "let a directory that becomes empty delete what it held, without a file .allow-empty in it")
	f.StringVar(&o.GRPCAddr, "grpcAddr", ":15010", "address of plaintext discovery, without authentication; empty for none")
	f.IntVar(&o.MaxAnonymousStreams, "maxAnonymousStreams", 0, "streams of all callers at --grpcAddr together; one address gets a fifth; negative for no bound (default 500, none if the address is of loopback)")
	f.StringVar(&o.SecureGRPCAddr, "secureGRPCAddr", ":15012", "address of discovery and certificates over TLS; empty for none")
	f.StringVar(&o.HTTPSAddr, "httpsAddr", ":15017", "address of the webhooks, in a cluster; empty for none")
	f.StringVar(&o.HTTPAddr, "httpAddr", ":8080", "address of /ready and debug pages; empty for none")
	f.StringVar(&o.MonitoringAddr, "monitoringAddr", ":15014", "address of metrics, version and debug pages; empty for none")
	f.StringVar(&o.Domain, "domain", "cluster.local", "DNS suffix of the cluster")
	f.StringVar(&o.ClusterID, "clusterID", "Kubernetes", "name by which proxies know the cluster")
	f.StringVar(&o.CADir, "caDir", "", "directory that keeps the CA's root; without it the root lives in memory")
	f.StringVar(&o.TokenJWKS, "tokenJWKS", "", "file with the keys that sign service-account tokens")
	f.StringVar(&o.TokenIssuer, "tokenIssuer", "", "OIDC issuer of service-account tokens")
	f.StringSliceVar(&o.TokenAudiences, "tokenAudience", []string{"istio-ca"}, "audiences of accepted tokens")
	f.BoolVar(&o.ClosePrivateKeySources, "closePrivateKeySources", false, "fetch no keys of RequestAuthentications and no SPIFFE bundles from private addresses, so from no issuer in the cluster")
	f.DurationVar(&o.DefaultCertTTL, "defaultCertTTL", 0, "lifetime of certificates for callers that ask for none (default 24h)")
	f.DurationVar(&o.MaxCertTTL, "maxCertTTL", 0, "longest lifetime of a certificate, whatever is asked for (default 24h)")
	f.DurationVar(&o.MaxRenewal, "maxRenewalByCertificate", 0, "how long after its last proof by a token a workload may renew with its certificate alone, as machines without tokens do (default 24h)")
	f.DurationVar(&o.MaxConnectionAge, "keepaliveMaxServerConnectionAge", 0, "age at which connections end, so that proxies spread over replicas; 0 for never")
	f.StringVar(&o.logLevel, "log_output_level", "default:info", "debug, info, warn, error or none, after \"default:\"")
}

// istioFlags are flags of Istio's that mean nothing here and yet look like one of ours.
var istioFlags = []string{"ctrlz_port", "ctrlz_address", "domainSuffix"}

// checkUnknown warns of flags that we do not know, and fails on those that look like a misspelt
// one of ours.
func checkUnknown(cmd *cobra.Command, args []string, log *slog.Logger) error {
	for _, arg := range args {
		name, ok := strings.CutPrefix(arg, "--")
		if !ok || name == "" {
			continue
		}
		name, _, _ = strings.Cut(name, "=")
		if name == "help" || cmd.Flags().Lookup(name) != nil {
			continue
		}
		var near string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if spelling.Distance(strings.ToLower(name), strings.ToLower(f.Name)) <= 2 {
				near = f.Name
			}
		})
		if near != "" && !slices.Contains(istioFlags, name) {
			return &usage.Error{Err: fmt.Errorf("unknown flag --%s; did you mean --%s?", name, near)}
		}
		log.Warn("flag is not known and has no effect", "flag", "--"+name)
	}
	return nil
}

// newLogger reads Istio's form of levels, "default:info,ads:debug"; there is one scope here.
func newLogger(w io.Writer, levels string) (*slog.Logger, error) {
	level := slog.LevelInfo
	for _, part := range strings.Split(levels, ",") {
		scope, name, scoped := strings.Cut(part, ":")
		if !scoped {
			scope, name = "default", part
		}
		if scope != "default" && scope != "all" {
			continue
		}
		switch name {
		case "none", "fatal":
			return slog.New(slog.DiscardHandler), nil
		default:
			if err := level.UnmarshalText([]byte(name)); err != nil {
				return nil, &usage.Error{Err: fmt.Errorf("--log_output_level: %q is not debug, info, warn, error or none", name)}
			}
		}
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})), nil
}

// replicaName is how this process is called in the output of tools.
func replicaName() string {
	if pod := os.Getenv("POD_NAME"); pod != "" {
		return pod
	}
	if host, err := os.Hostname(); err == nil {
		return host
	}
	return "istiod"
}
