package ir

// TokenCheck checks the JSON web tokens of requests, an HTTPFilter. A request without any passes; one
// with a token that none of Providers finds good is answered 401, or passes as one without where Lenient.
type TokenCheck struct {
	Providers []TokenProvider
	Lenient   bool
	// Reroute has the route chosen anew, since routes may ask for claims.
	Reroute bool
}

func (*TokenCheck) httpFilter() {}

// TokenProvider says which tokens of one issuer are good, and what becomes of them.
type TokenProvider struct {
	Name, Issuer string
	Audiences    []string // of which a token has one; empty for any
	Keys         string   // a JSON web key set (RFC 7517)
	// FromHeaders, FromParams and FromCookies are where a token may be; without any it is in the header
	// Authorization or the parameter access_token (RFC 6750).
	FromHeaders             []TokenHeader
	FromParams, FromCookies []string
	Forward                 bool   // the token goes on upstream
	PayloadHeader           string // gets the payload in base64; "" for none
	ClaimHeaders            []ClaimHeader
	// SpaceDelimited are claims whose texts are lists with spaces between; Envoy looks for none that are nested.
	SpaceDelimited []string
	// Metadata is the name under which the claims are noted, TokenPayload where others look for them.
	Metadata string
}

// TokenPayload is the name under which RBAC and routes look for the claims of a token.
const TokenPayload = "payload"

// TokenHeader is a header that may hold a token after a prefix.
type TokenHeader struct{ Name, Prefix string }

// ClaimHeader is a header that gets a claim.
type ClaimHeader struct{ Header, Claim string }
