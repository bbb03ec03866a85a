package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
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
	if value := os.Getenv("PILOT_ENABLE_QUIC_LISTENERS"); value != "" {
		on, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("PILOT_ENABLE_QUIC_LISTENERS: %q is neither true nor false", value)
		}
		o.QUICListeners = on
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
