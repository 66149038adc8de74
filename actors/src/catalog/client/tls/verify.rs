//! Which certificates of a server are taken: those that Go takes. Where a key is too weak, the error says so.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use webpki::EndEntityCert;

/// The shortest RSA key that is taken.
const SHORTEST_RSA: usize = 2048;

/// A key that is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeakKey {
    /// Its length.
    pub bits: usize,
}

impl fmt::Display for WeakKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an RSA key of {} bits is too short, at least {SHORTEST_RSA} are needed: make a longer key and a certificate for it",
            self.bits
        )
    }
}

impl std::error::Error for WeakKey {}

/// Verifies that a server's certificate was signed by one of our authorities, or is one of the certificates that we trust.
#[derive(Debug)]
pub struct Verifier {
    /// None if no authority is trusted.
    chains: Option<Arc<WebPkiServerVerifier>>,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    /// One that trusts these.
    pub fn new(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Self {
        let roots = Arc::new(roots);
        let builder = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone());
        // Without revocation lists an error means that there are no authorities.
        Self { chains: builder.build().ok(), roots, algorithms: provider.signature_verification_algorithms }
    }

    /// Whether the server's key is one that we trust to sign others. Go accepts such a certificate as the server's own, which is what
    /// openssl's self-signed certificates are.
    fn is_trusted_itself(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok(certificate) = EndEntityCert::try_from(certificate) else { return false };
        let key = certificate.subject_public_key_info();
        let Some((key, _)) = take(&key, SEQUENCE) else { return false };
        self.roots
            .roots
            .iter()
            .any(|root| *root.subject == *certificate.subject() && *root.subject_public_key_info == *key)
    }

    fn weak_key(&self, certificates: &[&CertificateDer<'_>]) -> Option<WeakKey> {
        let roots = self.roots.roots.iter().filter_map(|root| weakness(&root.subject_public_key_info));
        certificates.iter().find_map(|certificate| weak_key(certificate)).or_else(|| roots.min_by_key(|weak| weak.bits))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chains = self.chains.as_ref().ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let result = chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let Err(Error::InvalidCertificate(cause)) = &result else { return result };
        // Either of these comes after the time of the certificate has been looked at.
        let is_no_chain = *cause == CertificateError::UnknownIssuer || is_authority(cause);
        if is_no_chain && self.is_trusted_itself(end_entity) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        if *cause == CertificateError::BadSignature {
            let certificates: Vec<_> = std::iter::once(end_entity).chain(intermediates).collect();
            if let Some(weak) = self.weak_key(&certificates) {
                return Err(weak.into());
            }
        }
        result
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let result = verify_tls12_signature(message, certificate, signed, &self.algorithms);
        result.map_err(|cause| weak_key(certificate).map_or(cause, Error::from))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let result = verify_tls13_signature(message, certificate, signed, &self.algorithms);
        result.map_err(|cause| weak_key(certificate).map_or(cause, Error::from))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl From<WeakKey> for Error {
    fn from(weak: WeakKey) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(weak))))
    }
}

/// Whether a certificate was refused because it calls itself an authority.
pub fn is_authority(cause: &CertificateError) -> bool {
    let CertificateError::Other(OtherError(cause)) = cause else { return false };
    matches!(cause.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// Whether the key of a certificate is too short.
pub fn weak_key(certificate: &CertificateDer<'_>) -> Option<WeakKey> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let key = certificate.subject_public_key_info();
    weakness(take(&key, SEQUENCE)?.0)
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `rsaEncryption`
const RSA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// Whether this is an RSA key that is too short. `key` is what a `SubjectPublicKeyInfo` holds.
fn weakness(key: &[u8]) -> Option<WeakKey> {
    let (algorithm, rest) = take(key, SEQUENCE)?;
    let (algorithm, _) = take(algorithm, OBJECT_ID)?;
    if algorithm != RSA {
        return None;
    }
    let (key, _) = take(rest, BIT_STRING)?;
    let (key, _) = take(key.strip_prefix(&[0])?, SEQUENCE)?;
    let (modulus, _) = take(key, INTEGER)?;
    let begin = modulus.iter().position(|byte| *byte != 0)?;
    let bits = (modulus.len() - begin) * 8 - usize::try_from(modulus[begin].leading_zeros()).ok()?;
    (bits < SHORTEST_RSA).then_some(WeakKey { bits })
}

/// The content of the DER value with this tag that comes first, and what follows it.
fn take(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = input.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    if *first == tag { rest.split_at_checked(length) } else { None }
}

/// For `verify: false`: accepts every server that has the key of the certificate that it shows.
#[derive(Debug)]
pub struct AnyCertificate(pub WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let result = verify_tls12_signature(message, certificate, signed, &self.0);
        result.map_err(|cause| weak_key(certificate).map_or(cause, Error::from))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let result = verify_tls13_signature(message, certificate, signed, &self.0);
        result.map_err(|cause| weak_key(certificate).map_or(cause, Error::from))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a `SubjectPublicKeyInfo` holds for an RSA key with this modulus.
    fn rsa(modulus: &[u8]) -> Vec<u8> {
        let value = |tag: u8, content: &[u8]| {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[tag, 0x82, length[0], length[1]], content].concat()
        };
        let key = value(SEQUENCE, &[value(INTEGER, modulus), value(INTEGER, &[1, 0, 1])].concat());
        let algorithm = value(SEQUENCE, &[value(OBJECT_ID, &RSA), vec![5, 0]].concat());
        [algorithm, value(BIT_STRING, &[&[0], &*key].concat())].concat()
    }

    #[test]
    fn short_rsa_keys_are_recognised() {
        let modulus = |bits: usize| [&[0][..], &vec![0xff; bits / 8]].concat();
        assert_eq!(weakness(&rsa(&modulus(1024))), Some(WeakKey { bits: 1024 }));
        assert_eq!(weakness(&rsa(&modulus(2040))), Some(WeakKey { bits: 2040 }));
        assert_eq!(weakness(&rsa(&modulus(2048))), None);
        let whole = rsa(&modulus(1024));
        for end in 0..whole.len() {
            assert!(weakness(&whole[..end]).is_none(), "cut at {end}");
        }
        let mut random = crate::random::Random::from_seed(1);
        for _ in 0..20_000 {
            let mut junk = whole[..40].to_vec();
            for _ in 0..3 {
                let at = random.below(40) as usize;
                junk[at] = u8::try_from(random.below(256)).unwrap();
            }
            if weakness(&junk).is_some() {}
        }
    }
}
