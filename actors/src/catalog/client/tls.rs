//! How TLS is done: from the config's files to a client configuration. Reads files; to be called where that may block.

mod curves;
mod files;
mod verify;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, OtherError, RootCertStore};

pub use files::{Found, TlsFiles};
use verify::{AnyCertificate, Verifier, WeakKey, is_authority, weak_key};

use crate::spec::TlsSpec;

/// Where Linux distributions keep the authorities that they trust; the first that exists counts, as in Go.
const SYSTEM: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why TLS cannot be done as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file or folder cannot be read.
    #[error("cannot read `{path}`: {cause}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A file does not hold what it should.
    #[error("`{path}` holds no {what}")]
    Nothing {
        /// Which.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// What a file holds cannot be used.
    #[error("cannot use `{path}`: {cause}")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: rustls::Error,
    },
    /// Our key is too short.
    #[error("cannot use `{path}`: {weak}")]
    Weak {
        /// The certificate.
        path: PathBuf,
        /// How short it is.
        weak: WeakKey,
    },
    /// Our key is of a kind that we cannot sign with.
    #[error(
        "cannot use `{path}`: its key is not one that we can sign with: RSA from 2048 bits, ECDSA on P-256 or P-384, Ed25519"
    )]
    Key {
        /// The file of the key.
        path: PathBuf,
    },
    /// The library refused.
    #[error("cannot set up TLS: {0}")]
    Setup(rustls::Error),
    /// Neither a host name nor an address.
    #[error("`{0}` is not a name that a certificate can have")]
    Name(String),
}

/// The name that the server's certificate has to have.
pub fn server_name(spec: &TlsSpec, host: &str) -> Result<ServerName<'static>, TlsError> {
    let name = spec.server_name.as_deref().unwrap_or(host);
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.to_owned()))
}

/// Reads the files and puts them to use. A reload or a start with files that cannot be used is refused.
pub fn client_config(spec: &TlsSpec) -> Result<Arc<ClientConfig>, TlsError> {
    let algorithms = curves::algorithms();
    let provider = CryptoProvider { signature_verification_algorithms: algorithms, ..ring::default_provider() };
    let provider = Arc::new(provider);
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?;
    // Read even if nothing is verified: a file that is not there is a mistake.
    let roots = roots(spec)?;
    let builder = if spec.verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier::new(roots, &provider)))
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(algorithms)))
    };
    let Some((certificate, key)) = &spec.client else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|_| TlsError::Nothing { path: key.clone(), what: "private key" })?;
    if let Some(weak) = chain.first().and_then(weak_key) {
        return Err(TlsError::Weak { path: certificate.clone(), weak });
    }
    if provider.key_provider.load_private_key(private.clone_key()).is_err() {
        return Err(TlsError::Key { path: key.clone() });
    }
    let config = builder
        .with_client_auth_cert(chain, private)
        .map_err(|cause| TlsError::Unusable { path: certificate.clone(), cause })?;
    Ok(Arc::new(config))
}

fn system_file() -> Option<&'static Path> {
    SYSTEM.iter().map(Path::new).find(|path| path.exists())
}

fn roots(spec: &TlsSpec) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &spec.ca_file {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|cause| TlsError::Unusable { path: path.clone(), cause })?;
        }
    }
    if let Some(folder) = &spec.ca_path {
        let unreadable = |cause| TlsError::Read { path: folder.clone(), cause };
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.is_file() {
                // A folder may hold other things too: keys, revocation lists, a README.
                roots.add_parsable_certificates(certificates(&path).unwrap_or_default());
            }
        }
        if roots.is_empty() {
            return Err(TlsError::Nothing { path: folder.clone(), what: "certificate" });
        }
    }
    if spec.ca_file.is_none() && spec.ca_path.is_none() && spec.verify {
        // None at all is fine, too, until a server comes with a certificate.
        if let Some(path) = system_file() {
            roots.add_parsable_certificates(certificates(path)?);
        }
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok).collect();
    if found.is_empty() {
        return Err(TlsError::Nothing { path: path.to_owned(), what: "certificate" });
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|cause| TlsError::Read { path: path.to_owned(), cause })
}

/// Whether a connection failed for the sake of a certificate: with other files it might not.
pub fn is_about_certificates(cause: &io::Error) -> bool {
    let Some(cause) = cause.get_ref().and_then(|cause| cause.downcast_ref()) else { return false };
    matches!(cause, rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_))
}

/// Says an error of TLS in words, with what to do about it unless that is done already.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not ours, and all else has its text")]
pub fn explain(cause: io::Error, spec: &TlsSpec) -> io::Error {
    let Some(error) = cause.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) else { return cause };
    let text = match error {
        rustls::Error::InvalidCertificate(error) if is_authority(error) => {
            "the server's certificate is an authority's".to_owned()
        }
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(error))) => {
            format!("the server's certificate cannot be verified: {error}")
        }
        _ => error.to_string(),
    };
    let hint = hint(error, spec).map(|hint| format!(" ({hint})")).unwrap_or_default();
    io::Error::new(cause.kind(), text + &hint)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not ours, and for all else there is no hint")]
fn hint(cause: &rustls::Error, spec: &TlsSpec) -> Option<&'static str> {
    let names_authorities = spec.ca_file.is_some() || spec.ca_path.is_some();
    match cause {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) if names_authorities => {
            Some("no authority that `tls.cafile` or `tls.capath` names has signed it, and neither holds it itself")
        }
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) if names_authorities => {
            Some("the authority has another key than that of the same name in `tls.cafile` or `tls.capath`")
        }
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            Some("`tls.cafile` names the authority to trust, `tls.verify: false` trusts anybody")
        }
        rustls::Error::InvalidCertificate(cause) if is_authority(cause) => Some(
            "it is an authority's: `tls.cafile` has to hold this very certificate, or the server needs another one",
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Some(match spec.server_name {
            Some(_) => "`tls.servername` has to be a name of the certificate",
            None => "`tls.servername` is the name to expect, if it is not the host",
        }),
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::HandshakeFailure,
        ) if spec.client.is_none() => {
            Some("if the server asks for a certificate, `tls.clientcert` and `tls.clientkey` name it")
        }
        rustls::Error::InvalidMessage(_) => Some("perhaps the server does not speak TLS at this port"),
        _ => None,
    }
}
