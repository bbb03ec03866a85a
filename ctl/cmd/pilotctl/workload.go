package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	networking "istio.io/api/networking/v1alpha3"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/ctl/workload"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// newExperimental has the commands that Istio's tool has there.
func newExperimental(o *options) *cobra.Command {
	x := &cobra.Command{Use: "experimental", Aliases: []string{"x", "exp"}, Short: "Commands that istioctl has under the same name"}
	usage.Group(x)
	w := &cobra.Command{
		Use: "workload", Short: "Bring machines into the mesh of a cluster",
		Example: "  pilotctl x workload group create --name db --namespace shop --labels app=db --serviceAccount db > db.yaml\n  kubectl apply -f db.yaml\n  pilotctl x workload entry configure -f db.yaml --autoregister -o db-files",
	}
	usage.Group(w)
	groups := &cobra.Command{Use: "group", Short: "WorkloadGroups: what machines of one kind have in common"}
	usage.Group(groups)
	groups.AddCommand(newGroupCreate())
	entries := &cobra.Command{Use: "entry", Short: "What a machine of a WorkloadGroup needs"}
	usage.Group(entries)
	entries.AddCommand(newEntryConfigure())
	w.AddCommand(groups, entries)
	x.AddCommand(w, newDescribe(o))
	return x
}

func newGroupCreate() *cobra.Command {
	var name, namespace, account string
	var labels, annotations, ports []string
	cmd := &cobra.Command{
		Use: "create --name NAME --namespace NAMESPACE", Short: "Print a WorkloadGroup, for kubectl apply -f -", Args: usage.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name == "" || namespace == "" {
				return usageError(errors.New("name the group with --name and --namespace"))
			}
			spec := &networking.WorkloadGroup{
				Metadata: &networking.WorkloadGroup_ObjectMeta{}, Template: &networking.WorkloadEntry{ServiceAccount: account},
			}
			var err error
			if spec.Metadata.Labels, err = pairs("--labels", labels); err != nil {
				return usageError(err)
			}
			if spec.Metadata.Annotations, err = pairs("--annotations", annotations); err != nil {
				return usageError(err)
			}
			if spec.Template.Ports, err = portsOf(ports); err != nil {
				return usageError(err)
			}
			key := model.Key{Kind: model.KindWorkloadGroup, Namespace: namespace, Name: name}
			if err := sound(&model.Object{Key: key, Spec: spec}); err != nil {
				return usageError(err)
			}
			data, err := workload.Group(key, spec)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(data)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "name of the group")
	flags.StringVarP(&namespace, "namespace", "n", "", "namespace of the group and of its machines")
	flags.StringSliceVarP(&labels, "labels", "l", nil, "labels of the machines, e.g. env=prod,version=2")
	flags.StringSliceVarP(&annotations, "annotations", "a", nil, "annotations of the machines")
	flags.StringSliceVarP(&ports, "ports", "p", nil, "ports that the machines serve, e.g. grpc=3550,http=8080")
	flags.StringVarP(&account, "serviceAccount", "s", model.DefaultServiceAccount, "service account that the machines run as")
	return cmd
}

// pairs reads NAME=VALUE, or NAME for an empty value.
func pairs(flag string, all []string) (map[string]string, error) {
	out := map[string]string{}
	for _, text := range all {
		name, value, _ := strings.Cut(text, "=")
		if name == "" {
			return nil, fmt.Errorf("%s %q: write NAME=VALUE", flag, text)
		}
		out[name] = value
	}
	return out, nil
}

func portsOf(all []string) (map[string]uint32, error) {
	texts, err := pairs("--ports", all)
	if err != nil {
		return nil, err
	}
	out := map[string]uint32{}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		n, err := strconv.ParseUint(texts[name], 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("--ports %s=%s: write NAME=PORT, of 1 to 65535", name, texts[name])
		}
		out[name] = uint32(n)
	}
	return out, nil
}

// sound gives what an API server would refuse of an object.
func sound(o *model.Object) error {
	for _, p := range validate.Object(o) {
		if p.Severity == model.SeverityError {
			return errors.New(p.String())
		}
	}
	return nil
}

// configure is one call of entry configure.
type configure struct {
	clusterFlags
	workload.Config
	from, name, namespace, to string
	gateway                   string // Service of the gateway by which machines reach the control plane
	tokenSeconds              int64
}

func newEntryConfigure() *cobra.Command {
	var c configure
	cmd := &cobra.Command{
		Use: "configure (-f FILE | --name NAME --namespace NAMESPACE) -o DIR", Short: "Write the files that the agent of a machine needs", Args: usage.Args(cobra.NoArgs),
		Long: "Write the files that the agent of a machine of a WorkloadGroup needs: cluster.env, its environment; mesh.yaml\n(for /etc/istio/config/mesh); root-cert.pem (for /etc/certs); istio-token (for /var/run/secrets/tokens), which proves\nthe group's service account and has to be used before it expires; and hosts, for /etc/hosts.",
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&c.from, "file", "f", "", "file with the WorkloadGroup; without it the cluster has it")
	flags.StringVar(&c.name, "name", "", "name of the group")
	flags.StringVarP(&c.namespace, "namespace", "n", "", "namespace of the group")
	flags.StringVarP(&c.to, "output", "o", "", "directory for the files")
	flags.StringVar(&c.ClusterID, "clusterID", "", "how proxies name the cluster (default what its injection says, else \"Kubernetes\")")
	flags.Int64Var(&c.tokenSeconds, "tokenDuration", 3600, "how long the token is good for, in seconds")
	flags.StringVar(&c.gateway, "ingressService", "istio-eastwestgateway", "Service of the gateway by which machines reach the control plane, NAME[.NAMESPACE]")
	flags.StringVar(&c.IngressIP, "ingressIP", "", "address of that gateway (default what its Service says)")
	flags.BoolVar(&c.Register, "autoregister", false, "the control plane makes the machine's WorkloadEntry when it connects")
	flags.BoolVar(&c.CaptureDNS, "capture-dns", true, "the agent answers the machine's DNS")
	flags.StringVar(&c.InternalIP, "internalIP", "", "address of the machine")
	flags.StringVar(&c.ExternalIP, "externalIP", "", "address of the machine behind which it is translated")
	flags.StringVarP(&c.Namespace, "istioNamespace", "i", model.RootNamespace, "namespace of the control plane")
	c.registerRevision(flags)
	c.registerCluster(cmd)
	return cmd
}

func (c *configure) run(cmd *cobra.Command) error {
	switch {
	case c.from == "" && (c.name == "" || c.namespace == ""):
		return usageError(errors.New("name a file with -f, or a group with --name and --namespace"))
	case c.to == "":
		return usageError(errors.New("name a directory with -o"))
	case c.InternalIP != "" && c.ExternalIP != "":
		return usageError(errors.New("--internalIP and --externalIP exclude each other"))
	}
	config, err := c.rest()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), answerTimeout)
	defer cancel()
	if c.Group, err = c.readGroup(ctx, objects); err != nil {
		return err
	}
	files, err := c.files(ctx, client)
	if err != nil {
		return err
	}
	if err := writeFiles(c.to, files); err != nil {
		return err
	}
	if len(files["hosts"]) == 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: no address of Service %s is known; name one with --ingressIP, unless the machine's DNS knows the control plane\n", c.gateway)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s; istio-token proves service account %s of namespace %s for %d s\n",
		strings.Join(slices.Sorted(maps.Keys(files)), ", "), c.Account(), c.Group.Namespace, c.tokenSeconds)
	return err
}

// readGroup reads the group of a file or of the cluster.
func (c *configure) readGroup(ctx context.Context, objects dynamic.Interface) (*model.Object, error) {
	where := c.from
	var data []byte
	var err error
	if c.from != "" {
		data, err = readFile(c.from, maxText)
	} else {
		where = "WorkloadGroup " + c.namespace + "/" + c.name
		groups := schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "workloadgroups"}
		found, failed := objects.Resource(groups).Namespace(c.namespace).Get(ctx, c.name, metav1.GetOptions{})
		if failed != nil {
			return nil, fmt.Errorf("%s: %w", where, failed)
		}
		data, err = yaml.Marshal(found.Object)
	}
	if err != nil {
		return nil, err
	}
	all, problems := file.Decode(data, where)
	for _, p := range problems {
		if p.Severity == model.SeverityError {
			return nil, errors.New(p.String())
		}
	}
	all = slices.DeleteFunc(all, func(o *model.Object) bool { return o.Kind != model.KindWorkloadGroup })
	if len(all) != 1 {
		return nil, fmt.Errorf("%s: holds %d WorkloadGroups, want one", where, len(all))
	}
	return all[0], sound(all[0])
}

// files gives all files, by what the cluster says.
func (c *configure) files(ctx context.Context, client kubernetes.Interface) (map[string][]byte, error) {
	suffix, core := operator.Suffix(c.revision), client.CoreV1()
	text := func(namespace, name, key string) (string, error) {
		found, err := core.ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return "", fmt.Errorf("ConfigMap %s of %s: %w", name, namespace, err)
		}
		return found.Data[key], nil
	}
	mesh, err := text(c.Namespace, "istio"+suffix, "mesh")
	if err != nil {
		return nil, err
	}
	c.Mesh, c.Revision = []byte(mesh), c.revision
	if c.ClusterID == "" {
		values, err := text(c.Namespace, "istio-sidecar-injector"+suffix, "values")
		if err != nil {
			return nil, fmt.Errorf("%w; or name the cluster with --clusterID", err)
		}
		if c.ClusterID, err = clusterName(values); err != nil {
			return nil, err
		}
	}
	if c.IngressIP == "" {
		c.IngressIP = c.gatewayAddress(ctx, client)
	}
	out, err := c.Files()
	if err != nil {
		return nil, err
	}
	root, err := text(c.Group.Namespace, "istio-ca-root-cert", "root-cert.pem")
	if err != nil {
		return nil, err
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"istio-ca"}, ExpirationSeconds: &c.tokenSeconds}}
	token, err := core.ServiceAccounts(c.Group.Namespace).CreateToken(ctx, c.Account(), request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("a token of service account %s of namespace %s: %w", c.Account(), c.Group.Namespace, err)
	}
	out["root-cert.pem"], out["istio-token"] = []byte(root), []byte(token.Status.Token)
	return out, nil
}

// clusterName gives what the values of the injection call the cluster.
func clusterName(values string) (string, error) {
	var v struct {
		Global struct {
			MultiCluster struct {
				ClusterName string `json:"clusterName"`
			} `json:"multiCluster"`
		} `json:"global"`
	}
	if err := yaml.Unmarshal([]byte(values), &v); err != nil {
		return "", fmt.Errorf("the values of the injection: %w", err)
	}
	return cmp.Or(v.Global.MultiCluster.ClusterName, "Kubernetes"), nil
}

// gatewayAddress gives the address of the gateway's Service; "" for none that is known.
func (c *configure) gatewayAddress(ctx context.Context, client kubernetes.Interface) string {
	name, namespace, found := strings.Cut(c.gateway, ".")
	if !found {
		namespace = c.Namespace
	}
	svc, err := client.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	for _, i := range svc.Status.LoadBalancer.Ingress {
		if i.IP != "" {
			return i.IP
		}
	}
	if len(svc.Spec.ExternalIPs) > 0 {
		return svc.Spec.ExternalIPs[0]
	}
	return ""
}

// writeFiles writes files into a directory. The token is for nobody else to read, also where the file was there.
func writeFiles(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		mode := os.FileMode(0o644)
		if name == "istio-token" {
			mode = 0o600
		}
		path := filepath.Join(dir, name)
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.WriteFile(path, files[name], mode); err != nil {
			return err
		}
	}
	return nil
}
