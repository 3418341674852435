//! Where a server of the API is reached, as people write it, and a connection to it.

use std::{fmt, io, net::SocketAddr, str::FromStr};

use anyhow::{Context as _, Result};
use stockade_webhooks::tls;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        RootCertStore,
        pki_types::{CertificateDer, ServerName},
    },
};

use crate::address::Address;

/// `host:port`, or a URL without a path such as `https://stockade.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    address: Address,
    tls: bool,
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || {
            format!(
                "{text:?} is neither host:port, such as 127.0.0.1:7400, nor a URL without a path, such as https://stockade.example"
            )
        };
        let Some((scheme, rest)) = text.split_once("://") else {
            return text.parse::<Address>().map(|address| Self { address, tls: false }).map_err(|_| wrong());
        };
        let (tls, port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return Err(wrong()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(wrong());
        }
        // The colons of an address in brackets begin no port.
        let has_port = rest.rsplit(']').next().is_some_and(|behind| behind.contains(':'));
        let whole = if has_port { rest.to_owned() } else { format!("{rest}:{port}") };
        whole.parse::<Address>().map(|address| Self { address, tls }).map_err(|_| wrong())
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tls { write!(f, "https://{}", self.address) } else { self.address.fmt(f) }
    }
}

impl ServerUrl {
    /// Looks the host up.
    ///
    /// # Errors
    /// Nobody knows it, nobody answers there, or no authority is trusted that could vouch for it.
    pub(crate) fn find(&self) -> Result<Way> {
        let address = self.address.find()?;
        let host = self.address.to_string();
        if !self.tls {
            return Ok(Way { address, host, tls: None });
        }
        let trusted = rustls_native_certs::load_native_certs().certs;
        anyhow::ensure!(
            !trusted.is_empty(),
            "this system trusts no certificate authority, so {self} cannot be told from another; install ca-certificates, or name a file of certificates in SSL_CERT_FILE"
        );
        let name = self.address.to_bind().0.to_owned();
        let name = ServerName::try_from(name).with_context(|| format!("no certificate can be for {self}"))?;
        Ok(Way { address, host, tls: Some((trusting(trusted)?, name)) })
    }
}

/// Speaks TLS with whom one of these authorities vouches for.
fn trusting(authorities: Vec<CertificateDer<'static>>) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    // Systems trust some that nobody can read; the others do.
    roots.add_parsable_certificates(authorities);
    tls::connector(roots).context("no TLS")
}

/// A way to a server that was looked up.
#[derive(Clone)]
pub(crate) struct Way {
    address: SocketAddr,
    /// What the header `Host` says.
    pub(crate) host: String,
    /// With TLS, for whom the certificate must be.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl From<SocketAddr> for Way {
    fn from(address: SocketAddr) -> Self {
        Self { address, host: address.to_string(), tls: None }
    }
}

/// A connection, with TLS or without.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

impl Way {
    /// Connects.
    ///
    /// # Errors
    /// Nobody answers; `InvalidData` where somebody does who is not the server or speaks no TLS.
    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Connection>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some((tls, name)) => Ok(Box::new(tls.connect(name.clone(), stream).await?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{ServerConfig, crypto::ring::default_provider, pki_types::PrivateKeyDer},
    };

    use super::*;

    #[test]
    fn a_server_is_host_and_port_or_a_url_without_a_path() {
        for (text, shown, tls) in [
            ("127.0.0.1:7400", "127.0.0.1:7400", false),
            ("http://127.0.0.1:7400", "127.0.0.1:7400", false),
            ("http://localhost:7400/", "localhost:7400", false),
            ("HTTP://a.example", "a.example:80", false),
            ("https://a.example/", "https://a.example:443", true),
            ("https://[::1]:7443", "https://[::1]:7443", true),
            ("https://[::1]", "https://[::1]:443", true),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.tls), (shown, tls), "{text}");
        }
        for bad in [
            "localhost",
            "ftp://a:1",
            "http://",
            "http://a/v1",
            "http://u:p@a",
            "http://a:b",
            "http://a?x",
            "http://a//",
        ] {
            let why = bad.parse::<ServerUrl>().unwrap_err();
            assert!(why.contains("such as 127.0.0.1:7400"), "{bad}: {why}");
        }
    }

    #[tokio::test]
    async fn tls_is_spoken_with_whom_a_trusted_authority_vouches_for_and_with_nobody_else() {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let _ = stream.write_all(b"here").await;
                let _ = stream.shutdown().await;
            }
        });
        let way = |authorities, name: &'static str| Way {
            address,
            host: name.to_owned(),
            tls: Some((trusting(authorities).unwrap(), ServerName::try_from(name).unwrap())),
        };
        let trusted = || vec![made.cert.der().clone()];
        let mut stream = way(trusted(), "localhost").connect().await.unwrap();
        let mut read = [0; 4];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"here");
        for wrong in [way(trusted(), "other.example"), way(Vec::new(), "localhost")] {
            let error = wrong.connect().await.map(drop).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
    }
}
