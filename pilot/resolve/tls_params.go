package resolve

import (
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// meshTLSParams bound the mesh's mutual TLS, as MeshConfig.meshMTLS says. Curves are not for it (Istio's
// documentation of the field).
func meshTLSParams(r Reader) ir.TLSParams {
	out := tlsConfig(r.Mesh().GetMeshMTLS())
	out.Curves = nil
	return out
}

// defaultTLSParams bound all other TLS, as MeshConfig.tlsDefaults says.
func defaultTLSParams(r Reader) ir.TLSParams { return tlsConfig(r.Mesh().GetTlsDefaults()) }

func tlsConfig(c *meshconfig.MeshConfig_TLSConfig) ir.TLSParams {
	out := ir.TLSParams{Ciphers: known(model.CipherSuites(), c.GetCipherSuites()), Curves: known(model.Curves(), c.GetEcdhCurves())}
	switch c.GetMinProtocolVersion() {
	case meshconfig.MeshConfig_TLSConfig_TLSV1_2:
		out.Min = ir.TLS12
	case meshconfig.MeshConfig_TLSConfig_TLSV1_3:
		out.Min = ir.TLS13
	}
	return out
}

// tlsVersions are those that a server may name; TLSAuto is for what it leaves open.
var tlsVersions = map[networking.ServerTLSSettings_TLSProtocol]ir.TLSVersion{
	networking.ServerTLSSettings_TLSV1_0: ir.TLS10, networking.ServerTLSSettings_TLSV1_1: ir.TLS11,
	networking.ServerTLSSettings_TLSV1_2: ir.TLS12, networking.ServerTLSSettings_TLSV1_3: ir.TLS13,
}

// serverTLSParams bound what a server accepts: what its own settings leave out is the mesh's.
func serverTLSParams(r Reader, t *networking.ServerTLSSettings) ir.TLSParams {
	out := defaultTLSParams(r)
	if t.GetMode() == networking.ServerTLSSettings_ISTIO_MUTUAL {
		out = meshTLSParams(r)
	}
	if v := tlsVersions[t.GetMinProtocolVersion()]; v != ir.TLSAuto {
		out.Min = v
	}
	if out.Max = tlsVersions[t.GetMaxProtocolVersion()]; out.Max != ir.TLSAuto {
		if out.Min == ir.TLSAuto {
			out.Min = ir.TLS12
		}
		out.Min = min(out.Max, out.Min) // a default may not be above what is asked for
	}
	if own := known(model.CipherSuites(), t.GetCipherSuites()); len(own) > 0 {
		out.Ciphers = own
	}
	return out
}

// known leaves out names that proxies do not have, which validation reports, and repetitions.
func known(all, names []string) []string {
	var out []string
	for _, name := range names {
		if slices.Contains(all, name) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
