//! Signatures by ECDSA that Go verifies and `ring` does not: keys on P-521, and SHA-512 with the smaller curves.

use std::sync::LazyLock;

use ecdsa::signature::hazmat::PrehashVerifier as _;
use rustls::SignatureScheme;
use rustls::crypto::{WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

type Algorithm = &'static dyn SignatureVerificationAlgorithm;

#[derive(Clone, Copy, Debug)]
enum Curve {
    P256,
    P384,
    P521,
}

#[derive(Clone, Copy, Debug)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// A curve with a hash function.
#[derive(Debug)]
struct Ecdsa(Curve, Hash);

const P521_SHA512: Algorithm = &Ecdsa(Curve::P521, Hash::Sha512);
const P521_SHA384: Algorithm = &Ecdsa(Curve::P521, Hash::Sha384);
const P521_SHA256: Algorithm = &Ecdsa(Curve::P521, Hash::Sha256);
const P384_SHA512: Algorithm = &Ecdsa(Curve::P384, Hash::Sha512);
const P256_SHA512: Algorithm = &Ecdsa(Curve::P256, Hash::Sha512);

static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> = LazyLock::new(|| {
    let ring = ring::default_provider().signature_verification_algorithms;
    let ours = [P521_SHA512, P521_SHA384, P521_SHA256, P384_SHA512, P256_SHA512];
    let all: Vec<Algorithm> = ring.all.iter().copied().chain(ours).collect();
    // In TLS 1.3 the first algorithm of a scheme is the one it means; in TLS 1.2 a scheme names the hash function only.
    let scheme = |(scheme, algorithms): &(SignatureScheme, &'static [Algorithm])| {
        let more = [
            (SignatureScheme::ECDSA_NISTP256_SHA256, P521_SHA256),
            (SignatureScheme::ECDSA_NISTP384_SHA384, P521_SHA384),
        ]
        .into_iter()
        .filter_map(|(of, algorithm)| (of == *scheme).then_some(algorithm));
        let algorithms: Vec<Algorithm> = algorithms.iter().copied().chain(more).collect();
        (*scheme, &*algorithms.leak())
    };
    let mut mapping: Vec<(SignatureScheme, &'static [Algorithm])> = ring.mapping.iter().map(scheme).collect();
    mapping.push((SignatureScheme::ECDSA_NISTP521_SHA512, &[P521_SHA512, P384_SHA512, P256_SHA512]));
    // rustls takes them for the whole life of the process. This happens once.
    WebPkiSupportedAlgorithms { all: all.leak(), mapping: mapping.leak() }
});

/// What `ring` verifies, and what is added here.
pub fn algorithms() -> WebPkiSupportedAlgorithms {
    *ALGORITHMS
}

impl SignatureVerificationAlgorithm for Ecdsa {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        match self.0 {
            Curve::P256 => alg_id::ECDSA_P256,
            Curve::P384 => alg_id::ECDSA_P384,
            Curve::P521 => alg_id::ECDSA_P521,
        }
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        match self.1 {
            Hash::Sha256 => alg_id::ECDSA_SHA256,
            Hash::Sha384 => alg_id::ECDSA_SHA384,
            Hash::Sha512 => alg_id::ECDSA_SHA512,
        }
    }

    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let mut digest = match self.1 {
            Hash::Sha256 => Sha256::digest(message).to_vec(),
            Hash::Sha384 => Sha384::digest(message).to_vec(),
            Hash::Sha512 => Sha512::digest(message).to_vec(),
        };
        let valid = match self.0 {
            Curve::P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(public_key)
                .and_then(|key| key.verify_prehash(&digest, &p256::ecdsa::Signature::from_der(signature)?)),
            Curve::P384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(public_key)
                .and_then(|key| key.verify_prehash(&digest, &p384::ecdsa::Signature::from_der(signature)?)),
            Curve::P521 => p521::ecdsa::VerifyingKey::from_sec1_bytes(public_key).and_then(|key| {
                // The crate refuses digests of less than half the length of the curve. As a number, a digest with zeros before it is the same.
                if digest.len() < 66 {
                    digest.splice(0..0, std::iter::repeat_n(0, 66 - digest.len()));
                }
                key.verify_prehash(&digest, &p521::ecdsa::Signature::from_der(signature)?)
            }),
        };
        valid.map_err(|_| InvalidSignature)
    }
}
