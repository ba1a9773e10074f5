package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/kds"
	spb "github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/go-sev-guest/validate"
	"github.com/google/go-sev-guest/verify"
	"github.com/google/go-sev-guest/verify/trust"
)

// verifySevSnp verifies a report's signature and chain, and compares the chip and the TCB with the certificate's.
//
// Under AMD's roots the library does it all. It accepts certificates only whose names are AMD's, which a simulator's are
// not: under other roots its parts are called one by one, with the check of names left out.
func verifySevSnp(request *Request) error {
	report, err := abi.ReportToProto(request.Evidence)
	if err != nil {
		return err
	}
	chain, err := snpChain(request)
	if err != nil {
		return err
	}
	attestation := &spb.Attestation{Report: report, CertificateChain: chain}
	if len(request.Roots) == 0 {
		err = verify.SnpAttestation(attestation, &verify.Options{DisableCertFetching: true, Now: request.at()})
	} else {
		err = verifyUnderRoots(request, attestation)
	}
	if err != nil {
		return err
	}
	// The widest guest policy: what a guest may do is for a policy to say, not for this oracle.
	policy := abi.SnpPolicy{Debug: true, SMT: true, MigrateMA: true, CXLAllowed: true}
	return validate.SnpAttestation(attestation, &validate.Options{GuestPolicy: policy, PermitProvisionalFirmware: true})
}

// snpChain takes the certificates from vcek.der or vlek.der, and from cert_chain.pem (ASK or ASVK, then ARK).
func snpChain(request *Request) (*spb.CertificateChain, error) {
	block, rest := pem.Decode(request.Endorsements["cert_chain.pem"])
	last, _ := pem.Decode(rest)
	if block == nil || last == nil {
		return nil, errors.New("cert_chain.pem has no two certificates")
	}
	return &spb.CertificateChain{
		VcekCert: request.Endorsements["vcek.der"],
		VlekCert: request.Endorsements["vlek.der"],
		AskCert:  block.Bytes,
		ArkCert:  last.Bytes,
	}, nil
}

func verifyUnderRoots(request *Request, attestation *spb.Attestation) error {
	chain := attestation.GetCertificateChain()
	trusted := false
	for _, root := range request.Roots {
		trusted = trusted || bytes.Equal(root, chain.GetArkCert())
	}
	if !trusted {
		return errors.New("the ARK is no root that is trusted")
	}
	signer, err := abi.ParseSignerInfo(attestation.GetReport().GetSignerInfo())
	if err != nil {
		return err
	}
	leaf := chain.GetVcekCert()
	if signer.SigningKey == abi.VlekReportSigner {
		leaf = chain.GetVlekCert()
	}
	certificate, err := trust.ParseCert(leaf)
	if err != nil {
		return err
	}
	extensions, err := kds.CertificateExtensions(certificate, signer.SigningKey)
	if err != nil {
		return err
	}
	product, err := kds.ParseProductName(extensions.ProductName, signer.SigningKey)
	if err != nil {
		return err
	}
	family := attestation.GetReport().GetCpuid1EaxFms()
	if family != 0 && kds.ProductLineFromFms(family) != kds.ProductLine(product) {
		return fmt.Errorf("the certificate is of %s, the report of another", kds.ProductLine(product))
	}
	authority, err := trust.ParseCert(chain.GetAskCert())
	if err != nil {
		return err
	}
	root, err := trust.ParseCert(chain.GetArkCert())
	if err != nil {
		return err
	}
	certificates := &trust.ProductCerts{Ark: root, Ask: authority, Asvk: authority}
	options := certificates.X509Options(request.at(), signer.SigningKey)
	options.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	if _, err := certificate.Verify(*options); err != nil {
		return err
	}
	return verify.SnpProtoReportSignature(attestation.GetReport(), certificate)
}
