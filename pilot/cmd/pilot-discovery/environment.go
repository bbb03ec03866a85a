package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	security "istio.io/api/security/v1beta1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// environment takes what Istio's charts say by variables, and finds the API server.
func (o *options) environment() error {
	for name, to := range map[string]*string{
		"REVISION": &o.Revision, "CLUSTER_ID": &o.ClusterID, "POD_NAMESPACE": &o.Namespace, "ENABLE_NATIVE_SIDECARS": &o.NativeSidecars,
	} {
		if value := os.Getenv(name); value != "" {
			*to = value
		}
	}
	o.Environment = os.Getenv
	if err := o.settings(); err != nil {
		return err
	}
	if err := o.jwtRule(os.Getenv("JWT_RULE")); err != nil {
		return fmt.Errorf("JWT_RULE: %w", err)
	}
	if len(o.ConfigDirs) > 0 {
		return nil
	}
	var err error
	if o.kubeconfig != "" {
		if o.Kube, err = clientcmd.BuildConfigFromFlags("", o.kubeconfig); err != nil {
			return fmt.Errorf("--kubeconfig: %w", err)
		}
		return nil
	}
	if o.Kube, err = rest.InClusterConfig(); errors.Is(err, rest.ErrNotInCluster) {
		return nil // discovery.Run says what is missing
	}
	return err
}

// settings takes what is said for all proxies.
func (o *options) settings() error {
	register := true
	for name, to := range map[string]*bool{
		"PILOT_ENABLE_QUIC_LISTENERS": &o.Settings.QUIC, "PILOT_NAME_DENIALS": &o.Settings.NameDenials,
		"PILOT_HTTP10": &o.Settings.HTTP10, "PILOT_ENABLE_WORKLOAD_ENTRY_AUTOREGISTRATION": &register,
	} {
		if value := os.Getenv(name); value != "" {
			on, err := strconv.ParseBool(value)
			if err != nil {
				return fmt.Errorf("%s: %q is neither true nor false", name, value)
			}
			*to = on
		}
	}
	o.UnregisteredMachines = !register
	for name, to := range map[string]*time.Duration{
		"PILOT_CATCH_UP_TIMEOUT": &o.CatchUpTimeout, "PILOT_WORKLOAD_ENTRY_GRACE_PERIOD": &o.MachineGrace,
		"PILOT_ROOT_DELIVERY_DELAY": &o.RootDelivery,
	} {
		if value := os.Getenv(name); value != "" {
			d, err := time.ParseDuration(value)
			if err != nil || d <= 0 {
				return fmt.Errorf("%s: %q is no duration above 0, such as 10s", name, value)
			}
			*to = d
		}
	}
	if value := os.Getenv("PILOT_HEADERS_WITH_UNDERSCORES"); value != "" {
		action, ok := map[string]ir.Underscores{
			"allow": ir.UnderscoresAllowed, "drop": ir.UnderscoresDropped, "reject": ir.UnderscoresRejected,
		}[value]
		if !ok {
			return fmt.Errorf("PILOT_HEADERS_WITH_UNDERSCORES: %q is none of allow, drop and reject", value)
		}
		o.Settings.Underscores = action
	}
	return nil
}

// jwtRule reads Istio's JWT_RULE, a rule of a RequestAuthentication as JSON: {"issuer": …, "jwksUri": …,
// "audiences": […]}. Istio takes no token without an audience that the rule names.
func (o *options) jwtRule(text string) error {
	if text == "" {
		return nil
	}
	rule := &security.JWTRule{}
	if err := protojson.Unmarshal([]byte(text), rule); err != nil {
		return err
	}
	counts := &security.JWTRule{Issuer: rule.GetIssuer(), JwksUri: rule.GetJwksUri(), Audiences: rule.GetAudiences()}
	switch {
	case rule.GetIssuer() == "":
		return errors.New("issuer is empty")
	case len(rule.GetAudiences()) == 0:
		return errors.New("audiences is empty: a token for anybody else would prove who calls")
	case !proto.Equal(rule, counts):
		return errors.New("only issuer, jwksUri and audiences have an effect")
	}
	o.JWTRule = rule
	return nil
}
