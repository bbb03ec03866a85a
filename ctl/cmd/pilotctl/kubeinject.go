package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// kubeInject is one call of kube-inject. What no file gives is read from the cluster's ConfigMaps.
type kubeInject struct {
	clusterFlags
	from, to, namespace  string
	istioNamespace       string
	config, mesh, values string // files
	native               bool
}

func newKubeInject() *cobra.Command {
	var k kubeInject
	cmd := &cobra.Command{
		Use: "kube-inject -f FILE", Short: "Give the pods of manifests their sidecars, without a webhook", Args: usageArgs(cobra.NoArgs),
		Long: "Give the pods of manifests the sidecars that the webhook gives the pods that are made of them. What\n--injectConfigFile, --meshConfigFile and --valuesFile do not give is read from the ConfigMaps of the cluster;\nwith all three no cluster is asked. A file of --injectConfigFile may be empty, for the built-in templates.",
		RunE: func(cmd *cobra.Command, _ []string) error { return k.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&k.from, "filename", "f", "", "file with the manifests; - is standard input")
	flags.StringVarP(&k.to, "output", "o", "", "file for the result (default standard output)")
	flags.StringVarP(&k.namespace, "namespace", "n", "default", "namespace of objects that name none")
	flags.StringVar(&k.config, "injectConfigFile", "", "file with key config of ConfigMap istio-sidecar-injector")
	flags.StringVar(&k.mesh, "meshConfigFile", "", "file with key mesh of ConfigMap istio")
	flags.StringVar(&k.values, "valuesFile", "", "file with key values of ConfigMap istio-sidecar-injector")
	flags.StringVarP(&k.istioNamespace, "istioNamespace", "i", model.RootNamespace, "namespace of the control plane")
	flags.StringVar(&k.revision, "revision", "", "revision of the control plane (default \"default\")")
	flags.BoolVar(&k.native, "nativeSidecars", true, "sidecars are init containers that stay, which takes Kubernetes 1.29")
	k.registerCluster(cmd)
	return cmd
}

func (k *kubeInject) run(cmd *cobra.Command) error {
	if k.from == "" {
		return usageError(fmt.Errorf("name a file with -f; - is standard input"))
	}
	in, err := k.injector(cmd.Context())
	if err != nil {
		return err
	}
	for _, problem := range in.Problems() {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning: "+problem.Error())
	}
	text, err := readText(cmd.InOrStdin(), k.from)
	if err != nil {
		return err
	}
	warn := func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), "warning: "+text) }
	var out bytes.Buffer // whole, so that a file may be injected in place
	if err := in.Manifest(inject.File{Name: k.from, Text: text}, &out, k.namespace, warn); err != nil {
		return err
	}
	if k.to != "" {
		return os.WriteFile(k.to, out.Bytes(), 0o644)
	}
	_, err = out.WriteTo(cmd.OutOrStdout())
	return err
}

// injector makes an injector of the files, and of the cluster where one is missing.
func (k *kubeInject) injector(ctx context.Context) (*inject.Injector, error) {
	suffix := operator.Suffix(k.revision)
	texts, origin := map[string][]byte{}, map[string]string{}
	var client kubernetes.Interface
	for _, part := range []struct{ name, file, flag, configMap string }{
		{"config", k.config, "--injectConfigFile", "istio-sidecar-injector" + suffix},
		{"mesh", k.mesh, "--meshConfigFile", "istio" + suffix},
		{"values", k.values, "--valuesFile", "istio-sidecar-injector" + suffix},
	} {
		var err error
		if part.file != "" {
			if texts[part.name], err = readFile(part.file, maxText); err != nil {
				return nil, err
			}
			origin[part.name] = part.file
			continue
		}
		if client == nil {
			config, err := k.rest()
			if err != nil {
				return nil, fmt.Errorf("%w, or a file with %s", err, part.flag)
			}
			if client, err = kubernetes.NewForConfig(config); err != nil {
				return nil, err
			}
		}
		asked, cancel := context.WithTimeout(ctx, answerTimeout)
		found, err := client.CoreV1().ConfigMaps(k.istioNamespace).Get(asked, part.configMap, metav1.GetOptions{})
		cancel()
		if err != nil {
			return nil, fmt.Errorf("ConfigMap %s of %s: %w; or give a file with %s", part.configMap, k.istioNamespace, err, part.flag)
		}
		texts[part.name] = []byte(found.Data[part.name])
		origin[part.name] = "ConfigMap " + k.istioNamespace + "/" + part.configMap
	}
	mesh, err := model.ParseMeshConfig(texts["mesh"])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", origin["mesh"], err)
	}
	in, err := inject.New(inject.Options{
		Mesh: mesh, Config: texts["config"], Values: texts["values"], Revision: k.revision, NativeSidecar: k.native,
	})
	if err != nil {
		return nil, fmt.Errorf("%w (config from %s, values from %s)", err, origin["config"], origin["values"])
	}
	return in, nil
}
