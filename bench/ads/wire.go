package ads

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// Kind is a type of resource that a proxy asks for.
type Kind uint8

// The kinds, in the order in which a proxy asks for them.
const (
	Clusters Kind = iota
	Endpoints
	Listeners
	Routes
	Secrets
	kinds
)

var urls = [kinds]string{
	Clusters:  "type.googleapis.com/envoy.config.cluster.v3.Cluster",
	Endpoints: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
	Listeners: "type.googleapis.com/envoy.config.listener.v3.Listener",
	Routes:    "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
	Secrets:   "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
}

// URL gives the kind's type URL.
func (k Kind) URL() string { return urls[k] }

// String gives the short name, e.g. cds.
func (k Kind) String() string { return [kinds]string{"cds", "eds", "lds", "rds", "sds"}[k] }

// named tells whether resources of the kind are asked for by name.
func (k Kind) named() bool { return k == Endpoints || k == Routes || k == Secrets }

// KindOf finds a kind by its type URL.
func KindOf(url []byte) (Kind, bool) {
	for k, u := range urls {
		if string(url) == u {
			return Kind(k), true
		}
	}
	return 0, false
}

// Methods of the aggregated discovery service.
const (
	DeltaMethod = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
	SotWMethod  = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
)

// Fields of the messages of envoy.service.discovery.v3. resources has number 2 and nonce number 5
// in both responses.
const (
	fieldVersion   = 1 // of a response and of Resource
	fieldResources = 2
	fieldURL       = 4
	fieldNonce     = 5
	fieldRemoved   = 6

	fieldResourceAny  = 2
	fieldResourceName = 3

	fieldAnyURL, fieldAnyValue = 1, 2

	fieldFirst = 1 // the name in each of the resources

)

// Fields of the requests, which have other numbers in each protocol.
const (
	deltaNode, deltaURL, deltaSubscribe, deltaUnsubscribe = 1, 2, 3, 4
	deltaInitialVersions, deltaNonce                      = 5, 6

	sotwVersion, sotwNode, sotwNames, sotwURL, sotwNonce = 1, 2, 3, 4, 5

	// of an entry of initial_resource_versions
	fieldKey, fieldValue = 1, 2
)

// response is one response of either protocol; its slices point into the message.
type response struct {
	kind      Kind
	known     bool
	version   []byte
	nonce     []byte
	resources []resource
	removed   [][]byte
}

type resource struct{ name, version, value []byte }

var errMalformed = errors.New("malformed message")

// fields calls f for each field of a message, with its bytes or its number if it is a varint.
func fields(b []byte, f func(n protowire.Number, data []byte, value uint64) error) error {
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errMalformed
		}
		b = b[n:]
		var data []byte
		var value uint64
		switch typ {
		case protowire.BytesType:
			data, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(number, typ, b)
		}
		if n < 0 {
			return errMalformed
		}
		b = b[n:]
		if err := f(number, data, value); err != nil {
			return err
		}
	}
	return nil
}

// parse reads a response into r, whose slices are used again. Names and versions are read, the
// resources themselves are left as they are.
func (r *response) parse(b []byte, delta bool) error {
	r.known, r.version, r.nonce = false, nil, nil
	r.resources, r.removed = r.resources[:0], r.removed[:0]
	return fields(b, func(n protowire.Number, data []byte, _ uint64) error {
		switch n {
		case fieldVersion:
			r.version = data
		case fieldResources:
			res, err := parseResource(data, delta)
			if err != nil {
				return err
			}
			r.resources = append(r.resources, res)
		case fieldURL:
			r.kind, r.known = KindOf(data)
		case fieldNonce:
			r.nonce = data
		case fieldRemoved:
			if delta {
				r.removed = append(r.removed, data)
			}
		}
		return nil
	})
}

func parseResource(b []byte, delta bool) (resource, error) {
	var out resource
	body := b
	if delta {
		err := fields(b, func(n protowire.Number, data []byte, _ uint64) error {
			switch n {
			case fieldVersion:
				out.version = data
			case fieldResourceName:
				out.name = data
			case fieldResourceAny:
				body = data
			}
			return nil
		})
		if err != nil {
			return out, err
		}
	}
	err := fields(body, func(n protowire.Number, data []byte, _ uint64) error {
		if n == fieldAnyValue {
			out.value = data
		}
		return nil
	})
	if err != nil || delta {
		return out, err
	}
	out.name, err = firstString(out.value)
	return out, err
}

// firstString gives field 1 of a message, where each resource has its name.
func firstString(b []byte) ([]byte, error) {
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			break
		}
		b = b[n:]
		if number == fieldFirst && typ == protowire.BytesType {
			data, n := protowire.ConsumeBytes(b)
			if n < 0 {
				break
			}
			return data, nil
		}
		if n = protowire.ConsumeFieldValue(number, typ, b); n < 0 {
			break
		}
		b = b[n:]
	}
	return nil, errMalformed
}
