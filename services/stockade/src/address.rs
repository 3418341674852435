//! Where something listens: a host by name or number, and a port.

use std::{
    fmt,
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context as _, Result};

/// How long one of several addresses of a name may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// `host:port`, such as `127.0.0.1:7400`, `localhost:0` or `[::1]:7400`. Names are looked up when they are used.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The port; 0 lets the system choose one.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as [`tokio::net::TcpListener::bind`] takes them.
    pub(crate) fn to_bind(&self) -> (&str, u16) {
        (self.host.trim_start_matches('[').trim_end_matches(']'), self.port)
    }

    /// The address at which somebody listens: of several that a name has, the first that accepts a connection.
    pub(crate) fn find(&self) -> Result<SocketAddr> {
        let found: Vec<SocketAddr> =
            self.to_bind().to_socket_addrs().with_context(|| format!("{self} is not known"))?.collect();
        if let [only] = found.as_slice() {
            return Ok(*only);
        }
        let mut failed = None;
        for address in &found {
            match TcpStream::connect_timeout(address, ANSWER_MAX) {
                Ok(_) => return Ok(*address),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => Err(error).with_context(|| format!("no answer from {self}; is it serving?")),
            None => anyhow::bail!("{self} has no address"),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not host:port, such as 127.0.0.1:7400 or localhost:0");
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(wrong)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let port = port.parse().map_err(|_| wrong())?;
        let plain = !host.is_empty() && (bracketed || !host.contains([':', '/', ' ', '[', ']']));
        plain.then(|| Self { host: host.to_owned(), port }).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Address {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl From<([u8; 4], u16)> for Address {
    fn from((host, port): ([u8; 4], u16)) -> Self {
        Self { host: std::net::Ipv4Addr::from(host).to_string(), port }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_be_a_name_or_a_number_and_needs_a_port() {
        for good in ["127.0.0.1:7400", "localhost:0", "[::1]:80", "a.b-c.example:65535"] {
            assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
        }
        for bad in
            ["localhost", "localhost:", ":80", "::1:80x", "::1:80", "a b:1", "http://a:1", "a:65536", ""]
        {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
        let listener = std::net::TcpListener::bind(("localhost", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = format!("localhost:{port}").parse::<Address>().unwrap().find().unwrap();
        assert_eq!(found, listener.local_addr().unwrap());
    }
}
