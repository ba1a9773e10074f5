package main

import (
	"crypto/x509"

	"github.com/hf/nitrite"
)

// verifyNitro verifies a document's signature and chain. A debug enclave's document is one too.
func verifyNitro(request *Request) error {
	options := nitrite.VerifyOptions{CurrentTime: request.at()}
	if len(request.Roots) > 0 {
		options.Roots = x509.NewCertPool()
		for _, der := range request.Roots {
			root, err := x509.ParseCertificate(der)
			if err != nil {
				return err
			}
			options.Roots.AddCert(root)
		}
	}
	_, err := nitrite.Verify(request.Evidence, options)
	return err
}
