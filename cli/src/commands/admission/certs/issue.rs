//! Authorities, and what they issue. Keys are ECDSA P-256, which every API server accepts.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, bail};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use time::OffsetDateTime;
use x509_parser::parse_x509_certificate;

use super::expiry;
use super::files::Pair;

/// A certificate and its key, as PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// The names of a server.
#[derive(Default)]
pub(super) struct Names {
    pub(super) dns: Vec<String>,
    pub(super) addresses: Vec<IpAddr>,
}

impl Names {
    pub(super) fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.addresses.is_empty()
    }
}

/// Who certifies.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    issued: Issued,
    end: OffsetDateTime,
}

impl Authority {
    /// A new one, which certifies no further authorities.
    pub(super) fn make(name: &str, begin: OffsetDateTime, end: OffsetDateTime) -> anyhow::Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(name, begin, end);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issued = Issued { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() };
        Ok(Self { issuer: Issuer::new(params, key), issued, end })
    }

    /// The one that is there.
    pub(super) fn load(dir: &Path, pair: Pair) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = dir.join(name);
            std::fs::read_to_string(&path)
                .with_context(|| format!("`{}` cannot be read; without `--renew` it is made", path.display()))
        };
        let (certificate, key) = (read(pair.certificate)?, read(pair.key)?);
        let path = dir.join(pair.certificate);
        let known = expiry::load(&path)?;
        let [known] = known.as_slice() else {
            bail!("`{}` holds {} certificates; wanted that of the authority alone", path.display(), known.len());
        };
        let pair = KeyPair::from_pem(&key).with_context(|| format!("`{}` is no key", dir.join(pair.key).display()))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, pair)
            .with_context(|| format!("`{}` is no certificate", path.display()))?;
        Ok(Self { issuer, issued: Issued { certificate, key }, end: known.not_after })
    }

    pub(super) fn issued(&self) -> &Issued {
        &self.issued
    }

    pub(super) fn issue_server(
        &self,
        names: &Names,
        begin: OffsetDateTime,
        end: OffsetDateTime,
    ) -> anyhow::Result<Issued> {
        let subject = names.dns.first().cloned().or_else(|| names.addresses.first().map(ToString::to_string));
        let mut params = params(&subject.unwrap_or_default(), begin, end);
        for name in &names.dns {
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
        }
        params.subject_alt_names.extend(names.addresses.iter().copied().map(SanType::IpAddress));
        self.issue(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub(super) fn issue_client(
        &self,
        name: &str,
        begin: OffsetDateTime,
        end: OffsetDateTime,
    ) -> anyhow::Result<Issued> {
        let mut params = params(name, begin, end);
        params.subject_alt_names.push(SanType::DnsName(name.try_into()?));
        self.issue(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, mut params: CertificateParams, purpose: ExtendedKeyUsagePurpose) -> anyhow::Result<Issued> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        // Who trusts the authority would trust nothing of it afterwards.
        params.not_after = params.not_after.min(self.end);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        self.verify(certificate.der())?;
        Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// A key that was read need not be that of the certificate beside it.
    fn verify(&self, certificate: &[u8]) -> anyhow::Result<()> {
        let (_, issued) = parse_x509_certificate(certificate)?;
        let (_, authority) = x509_parser::pem::parse_x509_pem(self.issued.certificate.as_bytes())?;
        let authority = authority.parse_x509()?;
        issued
            .verify_signature(Some(authority.public_key()))
            .ok()
            .context("the key of the authority is not that of its certificate: they are of different runs")
    }
}

fn params(name: &str, begin: OffsetDateTime, end: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    // "ub-common-name INTEGER ::= 64", RFC 5280, appendix A.1. Nobody looks at it where there are alternative names.
    subject.push(DnType::CommonName, name.chars().take(64).collect::<String>());
    params.distinguished_name = subject;
    params.not_before = begin;
    params.not_after = end;
    params
}
