// Package traffic tells where requests go: cases of one file each (testdata/*.txtar), of which every call is
// answered twice, by pilot/explain and by a real Envoy with stub servers behind it. Both have to give the
// expected answer, which is written from Istio's documentation, never from our output.
//
// A case begins with a text that says which rule it is about, and has two sections:
//
//	-- input.yaml --   objects, beside those of testdata/world.yaml
//	-- calls.yaml --   who calls what, and what is expected (type File)
//
// In calls.yaml:
//
//	alone: true                     # without testdata/world.yaml
//	proxies:                        # beside client, other and gateway, which world.yaml describes
//	  server: {labels: {app: reviews}, ips: [10.1.0.1]}     # or namespace, type: router, locality: r/z/s, node: n, network: n1, view: [n1]
//	quic: true                      # the control plane has PILOT_ENABLE_QUIC_LISTENERS
//	greets: [3306]                  # ports whose servers speak first, in the clear
//	refuses: [9555]                 # ports whose servers end connections before TLS; their calls have upstream: refused
//	dns: {a.example.com: [1.2.3.4]} # what DNS says to proxies that resolve names
//	problems: [text]                # parts of problems that are reported; every error has to be named
//	calls:
//	- call: GET http://reviews:9080/x?y=z
//	  headers: {end-user: jason}
//	  want: {cluster: outbound|9080|v2|reviews}
//
// In input.yaml stand KEYS for a key set, and CERT(NAME) and KEY(NAME) for a certificate and its key, as Secrets have
// them. CA(AUTHORITY) is who signs, and CRL(NAME) a list that revokes. NAME is one of DNS, with " of AUTHORITY" where that
// is not "clients".
//
// A call is METHOD SCHEME://HOST:PORT/PATH, the method GET if it is left out. The schemes are http (1.1),
// http1.0, h2c, grpc, grpc-web, ws (an upgrade), https (HTTP/1.1 in TLS), tcp, tls (bytes in TLS), first (the
// server speaks first) and first+tls (in TLS). More are h2 (HTTP/2 in TLS) and h3 (HTTP/3, straight to a gateway). In those
// with TLS the host is the SNI as well. Further fields of a call:
//
//	from: gateway                   # a proxy; client if it is left out
//	way: inbound                    # to the workload beside the proxy; else outbound, at a router direct
//	to: 10.96.0.2:9080              # where it is sent, if not to the address and port of the host: the
//	                                # Service's, or the ServiceEntry's, or 203.0.113.1 for an unknown one
//	source: 10.9.9.9                # the client's address
//	host: other.example.com         # the Host header, if not HOST:PORT (without :80 and :443)
//	sni: x.example.com              # "-" for none
//	alpn: [istio]                   # what the handshake offers
//	mtls: true                      # the client shows a certificate of the mesh
//	shows: NAME                     # it shows that of a name, as in CERT(NAME)
//	tlsMin, tlsMax: "1.2"           # versions that it offers
//	ciphers: [AES128-SHA]           # suites that it offers, of TLS 1.2 and older
//	absolute: true                  # the request names its whole URL, as to an HTTP proxy
//	upstream: "503"                 # what the server answers with, or slow, reset or refused
//	token: {iss: a, sub: b}         # claims of the request's token, signed by the key set that KEYS stands for
//	forged: true                    # it is signed by another; of this explain is not asked, nor of one with the claim exp
//	traps: {NAME: {status: 404}}    # what would come of it, by what is wanted otherwise, where a trap of traps.yaml is fallen into
//	ejected: true                   # servers were, for what they answered to former calls; of this explain is not asked
//
// What is wanted (type Want); what is not named is not looked at, but for the status, which is 200 for HTTP:
//
//	status: 404                     # that the client sees
//	flags: NR                       # Envoy's response flags; "" for none
//	closed: true                    # the connection ends without an answer
//	cluster: outbound|9080||reviews # that is asked; a host without dots is of default.svc.cluster.local
//	clusters: {a: 80, b: 20}        # shares in percent
//	endpoints: ["10.1.0.1:9080"]    # that may be asked
//	servers: {"10.1.0.1:9080": 100} # shares of the endpoints in percent, which Envoy alone tells, of 100 calls
//	                                # of a cluster that takes its servers in turn
//	presented: a.example.com        # name in the certificate that the client sees, of a Secret
//	tls: mutual                     # to the server: mutual, simple or none
//	sni: x                          # to the server
//	protocol: HTTP/2                # to the server: HTTP/1.1, HTTP/2 or TCP
//	path, host                      # as the server sees them
//	request, response               # headers that the server, or the client, sees; "" for one that is absent
//	location, body                  # of the proxy's own answer
//	timeout: 2s, attempts: 3        # how long at most ("0s" for ever), how often in all
//	mirrors: [a]                    # clusters that get a copy
//	mirrored: host                  # as they see it
//	delay: 100ms                    # that is injected
//	proxy: v1                       # version of the PROXY protocol towards the server; "" for none
//	tunnel: host:80                 # that the server is asked to connect to, by CONNECT; "" for no tunnel
//
// testdata/traps.yaml lists what a naive clone of Istio gets wrong. Each trap has a call that would fail in such a clone, here or
// in test/translate/policies and pairs, or a test that holds its answer apart by test/trap.
//
// go test ./test/traffic -run 'TestEnvoy/NAME' runs one case on an Envoy, which serves all calls of a proxy.
package traffic
