package resolve

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// SecretPlan says which Secrets a class's proxies may have: of their own namespace, and nothing for proxies that did
// not prove that they are of it. Routers have what their Gateways name and what TLS to services needs, sidecars what
// DestinationRules name that select them.
type SecretPlan struct {
	class *Class
	uses  map[string][]secretUse // by SDS name
}

// NewSecretPlan plans the Secrets of a class of sidecars.
func NewSecretPlan(r Reader, c *Class) *SecretPlan {
	p := &SecretPlan{class: c, uses: map[string][]secretUse{}}
	for _, o := range r.WorkloadDestinationRules(c.Namespace) {
		if !slices.Contains(c.DestinationRules, o.Key) {
			continue
		}
		for _, name := range model.DestinationSecrets(o.Spec.(*networking.DestinationRule)) {
			p.uses[name] = append(p.uses[name], secretUse{o, model.SecretField(o.Spec.(*networking.DestinationRule), name), strings.HasSuffix(name, model.AuthoritiesSuffix)})
		}
	}
	return p
}

// NeedsSecrets tells whether something names Secrets for a proxy, so that it is to be asked whether it may have them.
func NeedsSecrets(r Reader, p *model.Proxy) bool {
	if p.Type == model.RouterProxy {
		return true
	}
	return namesSecrets(r.WorkloadDestinationRules(p.Namespace), func() map[string]string { return WorkloadOf(r, p).Labels })
}

// namesSecrets tells whether one of the rules names Secrets and selects a workload.
func namesSecrets(rules []*model.Object, labels func() map[string]string) bool {
	return slices.ContainsFunc(rules, func(o *model.Object) bool {
		rule := o.Spec.(*networking.DestinationRule)
		return len(model.DestinationSecrets(rule)) > 0 && model.Selects(rule.GetWorkloadSelector().GetMatchLabels(), labels())
	})
}

// Secrets gives the SDS names of what the class's proxies may have, in order.
func (p *SecretPlan) Secrets() []string {
	if !p.class.Secrets {
		return nil
	}
	return slices.Sorted(maps.Keys(p.uses))
}

// SameSecret tells whether a secret is named at the same places as in another plan.
func (p *SecretPlan) SameSecret(other *SecretPlan, name string) bool {
	return slices.EqualFunc(p.uses[name], other.uses[name], secretUse.same)
}

// Secret makes one of the Secrets; nil where there is none that can be used. Whoever waits for it waits
// on, or keeps what it has, and is reported.
func (p *SecretPlan) Secret(r Reader, name string) (*ir.Secret, []model.Problem) {
	uses := p.uses[name]
	lost := func(why string) (*ir.Secret, []model.Problem) {
		return nil, append(atUses(uses, model.ReasonReference, why), p.atRules(r, name, why)...)
	}
	own := strings.TrimPrefix(name, ir.SecretKubernetes)
	if ns, rest, qualified := strings.Cut(own, "/"); qualified {
		if ns != p.class.Namespace {
			return lost(fmt.Sprintf("the Secret is of namespace %s, and %ss get those of their own, %s", ns, p.proxy(), p.class.Namespace))
		}
		own = rest
	}
	o := r.Object(model.Key{Kind: model.KindSecret, Namespace: p.class.Namespace, Name: own})
	if base, found := strings.CutSuffix(own, model.AuthoritiesSuffix); o == nil && found {
		o = r.Object(model.Key{Kind: model.KindSecret, Namespace: p.class.Namespace, Name: base})
	}
	if o == nil {
		return lost(fmt.Sprintf("there is no Secret %s in the %s's namespace %s; add it", own, p.proxy(), p.class.Namespace))
	}
	var out *ir.Secret
	var field string
	var err error
	s := o.Spec.(*model.Secret)
	if uses[0].authorities {
		out, field, err = authorities(name, s)
	} else {
		out, field, err = keyPair(name, s)
	}
	if err != nil {
		return nil, p.unfit(uses, o, field, err)
	}
	return out, nil
}

// unfit tells of a Secret that lacks something, both there and where that is needed: others may need less of it.
func (p *SecretPlan) unfit(uses []secretUse, o *model.Object, field string, err error) []model.Problem {
	until := "servers of gateways that need it keep what they have, or take no connection"
	if p.class.Type != model.RouterProxy {
		until = "sidecars keep what they have, or connections by it fail"
	}
	said := err.Error()
	named := atUses(uses, model.ReasonReference, fmt.Sprintf("%s of %s, which this needs, %s; correct it", field, o.Key, said))
	return append(named, o.ErrorAt(field, model.ReasonInvalid, fmt.Sprintf("%s; correct it, until then %s", said, until)))
}

// proxy is what the proxies are called.
func (p *SecretPlan) proxy() string {
	if p.class.Type == model.RouterProxy {
		return "gateway"
	}
	return "sidecar"
}

func atUses(uses []secretUse, reason model.Reason, why string) []model.Problem {
	out := make([]model.Problem, 0, len(uses))
	for _, u := range uses {
		if u.object != nil {
			out = append(out, u.problem(reason, why))
		}
	}
	return sortProblems(out)
}

// atRules reports what a router lacks at the DestinationRules that it goes by. They are warnings, since a rule may be meant
// for another gateway, which has it.
func (p *SecretPlan) atRules(r Reader, name, why string) []model.Problem {
	if p.class.Type != model.RouterProxy {
		return nil
	}
	var out []model.Problem
	for _, o := range r.SecretDestinationRules(p.class.Namespace, name) {
		rule := o.Spec.(*networking.DestinationRule)
		if rule.GetWorkloadSelector() == nil || slices.Contains(p.class.DestinationRules, o.Key) {
			out = append(out, o.WarningAt(model.SecretField(rule, name), model.ReasonReference,
				why+", until then the gateway reaches the host by no TLS that needs it, and requests get a 503"))
		}
	}
	return sortProblems(out)
}

func data(key string) string { return "data[" + key + "]" }

// keyPair gives what a server presents. It has to be what Envoy takes.
func keyPair(name string, s *model.Secret) (*ir.Secret, string, error) {
	switch {
	case s.Unfit != "":
		return nil, data(model.SecretCertificate), errors.New(s.Unfit)
	case s.Withheld:
		return &ir.Secret{Name: name, Certificate: s.Certificate, OCSPStaple: s.OCSPStaple}, "", nil
	case len(s.Certificate) == 0:
		return nil, data(model.SecretCertificate), errors.New("is missing, and so is cert")
	case len(s.Key) == 0:
		return nil, data(model.SecretKey), errors.New("is missing, and so is key")
	}
	pair, err := tls.X509KeyPair(s.Certificate, s.Key)
	if err != nil {
		return nil, data(model.SecretCertificate), fmt.Errorf("is no certificate with its key: %s", strings.TrimPrefix(err.Error(), "tls: "))
	}
	if why := unfitKey(pair.Leaf); why != "" {
		return nil, data(model.SecretKey), errors.New(why)
	}
	return &ir.Secret{Name: name, Certificate: s.Certificate, Key: s.Key, OCSPStaple: s.OCSPStaple}, "", nil
}

// UnfitPair tells why a Secret holds no certificate and key that a server can present; "" where it does.
func UnfitPair(s *model.Secret) string {
	if _, _, err := keyPair("", s); err != nil {
		return err.Error()
	}
	return ""
}

// unfitKey tells why Envoy does not take a certificate's key; "" where it does.
func unfitKey(leaf *x509.Certificate) string {
	switch key := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < 2048 {
			return fmt.Sprintf("is an RSA key of %d bits; use one of 2048 or more", bits)
		}
	case *ecdsa.PublicKey:
		if !slices.Contains([]elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()}, key.Curve) {
			return "is an ECDSA key of curve " + key.Params().Name + "; use P-256, P-384 or P-521"
		}
	default:
		return fmt.Sprintf("is a key of algorithm %s; use RSA or ECDSA", leaf.PublicKeyAlgorithm)
	}
	return ""
}

// authorities gives what peers are checked against.
func authorities(name string, s *model.Secret) (*ir.Secret, string, error) {
	if len(s.Authorities) == 0 {
		return nil, data(model.SecretAuthorities), errors.New("is missing, and so is cacert")
	}
	found := 0
	for block, rest := pem.Decode(s.Authorities); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, data(model.SecretAuthorities), fmt.Errorf("holds no certificate: %w", err)
		}
		found++
	}
	if found == 0 {
		return nil, data(model.SecretAuthorities), errors.New("holds no certificate in PEM")
	}
	if len(s.CRL) > 0 {
		block, _ := pem.Decode(s.CRL)
		if block == nil || block.Type != "X509 CRL" {
			return nil, data(model.SecretCRL), errors.New("is no revocation list in PEM")
		}
		if _, err := x509.ParseRevocationList(block.Bytes); err != nil {
			return nil, data(model.SecretCRL), fmt.Errorf("is no revocation list: %w", err)
		}
	}
	return &ir.Secret{Name: name, Authorities: s.Authorities, CRL: s.CRL}, "", nil
}
