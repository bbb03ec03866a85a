package model

// CipherSuites are those of TLS 1.2 and older that proxies have, by OpenSSL's names. Istio's list has
// DES-CBC3-SHA as well, which Envoy does not know any more.
func CipherSuites() []string {
	return []string{
		"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
		"ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA",
		"ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA", "AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA",
	}
}

// Curves are those of the key exchange that proxies have, by OpenSSL's names.
func Curves() []string { return []string{"P-256", "P-384", "P-521", "X25519", "X25519MLKEM768"} }
