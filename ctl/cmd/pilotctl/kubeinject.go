package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// kubeInject is one call of kube-inject. What no file gives is read from the cluster's ConfigMaps.
type kubeInject struct {
	clusterFlags
	from, to, namespace  string
	istioNamespace       string
	config, mesh, values string // files
	configMap, meshMap   string // ConfigMaps
	native               bool
}

func newKubeInject() *cobra.Command {
	var k kubeInject
	cmd := &cobra.Command{
		Use: "kube-inject -f FILE", Short: "Give the pods of manifests their sidecars, without a webhook", Args: usage.Args(cobra.NoArgs),
		Long: "Give the pods of manifests the sidecars that the webhook gives the pods that are made of them. What\n--injectConfigFile, --meshConfigFile and --valuesFile do not give is read from the ConfigMaps of the cluster;\nwith all three no cluster is asked. A file of --injectConfigFile may be empty, for the built-in templates.\nProxyConfigs of the manifests count, and those of the cluster where it is asked.\n\nExit codes: 0 all is written, 1 a manifest or a setting cannot be read, 2 wrong usage.",
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
	flags.StringVar(&k.configMap, "injectConfigMapName", "", "ConfigMap with the keys config and values (default \"istio-sidecar-injector\", and -REVISION)")
	flags.StringVar(&k.meshMap, "meshConfigMapName", "", "ConfigMap with the key mesh (default \"istio\", and -REVISION)")
	k.registerRevision(flags)
	flags.BoolVar(&k.native, "nativeSidecars", true, "sidecars are init containers that stay, which takes Kubernetes 1.29")
	k.registerCluster(cmd)
	return cmd
}

func (k *kubeInject) run(cmd *cobra.Command) error {
	if k.from == "" {
		return usageError(fmt.Errorf("name a file with -f; - is standard input"))
	}
	text, err := readText(cmd.InOrStdin(), k.from)
	if err != nil {
		return err
	}
	warn := func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), "warning: "+text) }
	in, err := k.injector(cmd.Context(), text, warn)
	if err != nil {
		return err
	}
	for _, problem := range in.Problems() {
		warn(problem.Error())
	}
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

// injector makes an injector of the files, and of the cluster where one is missing. The manifests may have ProxyConfigs.
func (k *kubeInject) injector(ctx context.Context, manifests []byte, warn func(string)) (*inject.Injector, error) {
	suffix := operator.Suffix(k.revision)
	configMap, meshMap := cmp.Or(k.configMap, "istio-sidecar-injector"+suffix), cmp.Or(k.meshMap, "istio"+suffix)
	texts, origin := map[string][]byte{}, map[string]string{}
	objects := proxyConfigsOf(manifests, k.from, k.namespace)
	var cluster *injectorCluster
	parts := []struct{ name, file, flag, configMap string }{
		{"config", k.config, "--injectConfigFile", configMap},
		{"mesh", k.mesh, "--meshConfigFile", meshMap},
		{"values", k.values, "--valuesFile", configMap},
	}
	var lacks []string
	for _, part := range parts {
		if part.file == "" {
			lacks = append(lacks, part.flag)
		}
	}
	for _, part := range parts {
		var err error
		if part.file != "" {
			if texts[part.name], err = readFile(part.file, maxText); err != nil {
				return nil, err
			}
			origin[part.name] = part.file
			continue
		}
		if cluster == nil {
			if cluster, err = k.reachInjector(); err != nil {
				return nil, fmt.Errorf("%w, or give files with %s", err, strings.Join(lacks, ", "))
			}
			more, err := cluster.proxyConfigs(ctx)
			if err != nil {
				warn(err.Error() + "; those of the manifests count alone")
			}
			objects = laidOver(more, objects)
		}
		if texts[part.name], err = cluster.setting(ctx, k.istioNamespace, part.configMap, part.name); err != nil {
			return nil, fmt.Errorf("%w; or give a file with %s", err, part.flag)
		}
		origin[part.name] = "ConfigMap " + k.istioNamespace + "/" + part.configMap
	}
	mesh, err := model.ParseMeshConfig(texts["mesh"])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", origin["mesh"], err)
	}
	in, err := inject.New(inject.Options{
		Mesh: mesh, ProxyConfigs: objects, Config: texts["config"], Values: texts["values"], Revision: k.revision, NativeSidecar: k.native,
	})
	if err != nil {
		return nil, fmt.Errorf("%w (config from %s, values from %s)", err, origin["config"], origin["values"])
	}
	return in, nil
}
