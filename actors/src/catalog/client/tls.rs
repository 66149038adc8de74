//! How TLS is done: from the config's files to a client configuration. Reads files; to be called where that may block.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

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
        cause: std::io::Error,
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
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?;
    // Read even if nothing is verified: a file that is not there is a mistake.
    let roots = roots(spec)?;
    let builder = if spec.verify {
        builder.with_root_certificates(roots)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    };
    let Some((certificate, key)) = &spec.client else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|_| TlsError::Nothing { path: key.clone(), what: "private key" })?;
    let config = builder
        .with_client_auth_cert(chain, private)
        .map_err(|cause| TlsError::Unusable { path: certificate.clone(), cause })?;
    Ok(Arc::new(config))
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
        if let Some(path) = SYSTEM.iter().map(Path::new).find(|path| path.exists()) {
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

/// For `verify: false`: whoever has the key of the certificate that it shows is welcome.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
