package main

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/google/go-tdx-guest/pcs"
	"github.com/google/go-tdx-guest/verify"
)

// verifyTdx verifies a quote of version 4 with its certificates, and with its collateral where there is some: TCB level,
// quoting enclave and revocations. The library knows no other version.
func verifyTdx(request *Request) error {
	options := &verify.Options{Now: request.at()}
	if len(request.Roots) > 0 {
		options.TrustedRoots = x509.NewCertPool()
		for _, der := range request.Roots {
			root, err := x509.ParseCertificate(der)
			if err != nil {
				return err
			}
			options.TrustedRoots.AddCert(root)
		}
	}
	if data, given := request.Endorsements["collateral.json"]; given {
		collateral := &collateral{}
		if err := json.Unmarshal(data, collateral); err != nil {
			return err
		}
		options.GetCollateral, options.CheckRevocations, options.Getter = true, true, collateral
	}
	return verify.RawTdxQuote(request.Evidence, options)
}

// collateral answers for Intel's service out of a file with the fields of quote collateral v3.
type collateral struct {
	PckCrlIssuerChain     string `json:"pck_crl_issuer_chain"`
	RootCaCrl             string `json:"root_ca_crl"`
	PckCrl                string `json:"pck_crl"`
	TcbInfoIssuerChain    string `json:"tcb_info_issuer_chain"`
	TcbInfo               string `json:"tcb_info"`
	TcbInfoSignature      string `json:"tcb_info_signature"`
	QeIdentityIssuerChain string `json:"qe_identity_issuer_chain"`
	QeIdentity            string `json:"qe_identity"`
	QeIdentitySignature   string `json:"qe_identity_signature"`
}

// Get answers as the service does: chains in headers, lists in DER, documents beside their signatures. Whatever else is
// asked for is the root's list, whose address stands in the root.
func (c *collateral) Get(address string) (map[string][]string, []byte, error) {
	switch {
	case address == pcs.QeIdentityURL():
		body := fmt.Sprintf(`{"enclaveIdentity":%s,"signature":"%s"}`, c.QeIdentity, c.QeIdentitySignature)
		return header("Sgx-Enclave-Identity-Issuer-Chain", c.QeIdentityIssuerChain), []byte(body), nil
	case strings.HasPrefix(address, pcs.TcbInfoURL("")):
		body := fmt.Sprintf(`{"tcbInfo":%s,"signature":"%s"}`, c.TcbInfo, c.TcbInfoSignature)
		return header("Tcb-Info-Issuer-Chain", c.TcbInfoIssuerChain), []byte(body), nil
	case address == pcs.PckCrlURL("platform"), address == pcs.PckCrlURL("processor"):
		list, err := hex.DecodeString(c.PckCrl)
		return header("Sgx-Pck-Crl-Issuer-Chain", c.PckCrlIssuerChain), list, err
	}
	list, err := hex.DecodeString(c.RootCaCrl)
	return nil, list, err
}

// header is the chain of a document's signer. What PEM has behind its last line, an end of line or a zero, is left out.
func header(name, chain string) map[string][]string {
	return map[string][]string{name: {url.QueryEscape(strings.TrimRight(chain, "\x00"))}}
}
