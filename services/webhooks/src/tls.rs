//! TLS as a client speaks it, to endpoints and to servers of the API alike.

use std::sync::Arc;

use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, Error, RootCertStore, crypto::ring::default_provider},
};

/// Speaks TLS with whom one of these authorities vouches for.
///
/// # Errors
/// The library has no version of TLS that it takes for safe.
pub fn connector(trusted: RootCertStore) -> Result<TlsConnector, Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
