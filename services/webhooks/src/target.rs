//! Where a webhook may go: to the public internet by HTTPS, and nowhere else. Whoever could name an address inside could make the
//! platform ask there.
//!
//! An address is looked at when it is given, for what is wrong with it by itself, and the addresses behind its name are looked at
//! at every connect: every one of them must be outside, and the connection goes to one that was looked at, without looking the
//! name up again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::Uri;

/// Longest URL, in bytes.
const URL_BYTES_MAX: usize = 2_000;
/// The least port beside 443: below it are services that are no web servers.
const PORT_MIN: u16 = 1_024;
const HTTPS_PORT: u16 = 443;

/// A URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name or address of the host, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Path and query.
    pub path: String,
    /// The header `Host`.
    pub authority: String,
}

impl Target {
    /// Reads a URL, or says what is wrong with it. `allow_loopback` lets plain HTTP and any port through, for this machine only, which is
    /// seen at the connect.
    pub fn parse(url: &str, allow_loopback: bool) -> Result<Self, String> {
        if url.len() > URL_BYTES_MAX {
            return Err(format!("it is longer than {URL_BYTES_MAX} bytes"));
        }
        if url.contains('#') {
            return Err("leave out what begins with #: it is never sent".to_owned());
        }
        let uri: Uri = url.parse().map_err(|_| {
            "it is no URL; write it as https://HOST/PATH, names of other scripts in their ASCII form"
                .to_owned()
        })?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if allow_loopback => false,
            _ => return Err("it must begin with https://".to_owned()),
        };
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("leave out user and password; what is sent is signed, which proves more".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("it names no host".to_owned());
        }
        let port = match (authority.as_str().rsplit_once(':'), authority.port_u16()) {
            (_, Some(port)) => port,
            (Some((_, tail)), None) if !tail.ends_with(']') => return Err("its port is no port".to_owned()),
            (_, None) if tls => HTTPS_PORT,
            (_, None) => 80,
        };
        if port != HTTPS_PORT && port < PORT_MIN && !allow_loopback {
            return Err(format!(
                "port {port} is no port for webhooks; use {HTTPS_PORT}, or {PORT_MIN} and above"
            ));
        }
        let named = host.trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        let local = named == "localhost" || named.ends_with(".localhost");
        let inside = [".local", ".internal", ".home.arpa", ".svc"];
        let is_bare = address.is_none() && !named.contains('.');
        if !allow_loopback && (local || is_bare || inside.iter().any(|end| named.ends_with(end))) {
            return Err(format!("{named} is no name on the public internet"));
        }
        // A name of digits only would be an address written in a way that few expect.
        let odd = named.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
        if address.is_none() && odd {
            return Err(format!("{named} is no name; write addresses as four decimal numbers"));
        }
        if let Some(address) = address {
            check(address, allow_loopback)?;
        }
        let path = uri.path_and_query().map_or("/", |it| it.as_str());
        // A query may follow the name at once; what is sent begins with a slash all the same.
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { host, port, tls, path, authority: authority.as_str().to_owned() })
    }

    /// Looks at the addresses behind the name: all must be outside, and without TLS all on this machine.
    pub fn admits(&self, addresses: &[IpAddr], allow_loopback: bool) -> Result<(), String> {
        for address in addresses {
            check(*address, allow_loopback)?;
            if !self.tls && !address.to_canonical().is_loopback() {
                return Err(format!("{address} is not on this machine, and only there plain http is taken"));
            }
        }
        Ok(())
    }
}

fn check(address: IpAddr, allow_loopback: bool) -> Result<(), String> {
    match inward(address) {
        Some("loopback") if allow_loopback => Ok(()),
        Some(what) => Err(format!("{address} is not on the public internet ({what})")),
        None => Ok(()),
    }
}

/// What an address is that is not on the public internet; none for one that is. The ranges are those of IANA's registries of special
/// addresses that are not globally reachable, with multicast and what has no use yet.
pub fn inward(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => inward_v4(address),
        IpAddr::V6(address) => inward_v6(address),
    }
}

fn inward_v4(address: Ipv4Addr) -> Option<&'static str> {
    Some(match address.octets() {
        [0, ..] => "this network",
        [10, ..] | [192, 168, ..] => "private",
        [172, second, ..] if (16..32).contains(&second) => "private",
        [100, second, ..] if (64..128).contains(&second) => "shared by a carrier",
        [127, ..] => "loopback",
        [169, 254, ..] => "link-local",
        [192, 0, 0, _] => "protocol assignments",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => "documentation",
        [192, 31, 196, _] | [192, 52, 193, _] | [192, 175, 48, _] => "special purpose",
        [192, 88, 99, _] => "6to4 relays",
        [198, 18 | 19, ..] => "benchmarks",
        [first, ..] if (224..240).contains(&first) => "multicast",
        [first, ..] if first >= 240 => "reserved",
        _ => return None,
    })
}

fn inward_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    Some(match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => "unspecified",
        [0, 0, 0, 0, 0, 0, 0, 1] => "loopback",
        // Mapped, and translated by NAT64: it is the address inside that is reached.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            return inward_v4(embedded(high, low));
        }
        [0x2002, high, low, ..] => return inward_v4(embedded(high, low)).or(Some("6to4")),
        [0x2001, second, ..] if second < 0x200 => "protocol assignments",
        [0x2001, 0xdb8, ..] => "documentation",
        [0x3fff, second, ..] if second < 0x1000 => "documentation",
        [first, ..] if first & 0xfe00 == 0xfc00 => "private",
        [first, ..] if first & 0xffc0 == 0xfe80 => "link-local",
        [first, ..] if first & 0xffc0 == 0xfec0 => "site-local",
        [first, ..] if first & 0xff00 == 0xff00 => "multicast",
        [first, ..] if first & 0xe000 == 0x2000 => return None,
        _ => "reserved",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_on_the_public_internet_are_told_apart_from_those_that_are() {
        let inside = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "3fff:0:1::",
            "4000::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for text in inside {
            assert!(inward(text.parse().unwrap()).is_some(), "{text}");
        }
        let outside = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.0.1",
            "172.15.255.255",
            "172.32.0.1",
            "191.0.0.1",
            "192.0.1.1",
            "192.167.255.255",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2606:4700:4700::1111",
            "2001:200::1",
            "2a00:1450::1",
            "3ffe::1",
        ];
        for text in outside {
            assert_eq!(inward(text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn a_url_is_read_into_its_parts_or_refused_with_what_is_wrong() {
        assert_eq!(Target::parse("https://hooks.example.com?x=1", false).unwrap().path, "/?x=1");
        let target = Target::parse("https://hooks.example.com/in?x=1", false).unwrap();
        assert_eq!(
            (target.host.as_str(), target.port, target.path.as_str()),
            ("hooks.example.com", 443, "/in?x=1")
        );
        assert_eq!(Target::parse("https://[2606:4700::1]:8443/", false).unwrap().port, 8_443);
        let refused = [
            ("http://hooks.example.com/", "must begin with https"),
            ("ftp://hooks.example.com/", "must begin with https"),
            ("hooks.example.com", "must begin with https"),
            ("https://user:pw@hooks.example.com/", "leave out user"),
            ("https://user@hooks.example.com/", "leave out user"),
            ("https://hooks.example.com/#top", "leave out what begins with #"),
            ("https://hooks.example.com:22/", "port 22"),
            ("https://hooks.example.com:99999/", ""),
            ("https://hooks.example.com:/", "port"),
            ("https://localhost/", "no name on the public internet"),
            ("https://a.localhost/", "no name on the public internet"),
            ("https://LOCALHOST./", "no name on the public internet"),
            ("https://kafka/", "no name on the public internet"),
            ("https://metadata.google.internal/", "no name on the public internet"),
            ("https://redis.stockade.svc.cluster.local/", "no name on the public internet"),
            ("https://127.0.0.1/", "loopback"),
            ("https://127.1/", "no name"),
            ("https://0x7f.0.0.1/", ""),
            ("https://2130706433/", ""),
            ("https://169.254.169.254/latest/meta-data", "link-local"),
            ("https://[::1]/", "loopback"),
            ("https://[::ffff:10.0.0.1]/", "private"),
            ("https:///x", ""),
            ("https://ü.example/", "no URL"),
        ];
        for (url, what) in refused {
            let said = Target::parse(url, false).expect_err(url);
            assert!(said.contains(what), "{url}: {said}");
        }
        assert!(Target::parse(&format!("https://a.example/{}", "x".repeat(URL_BYTES_MAX)), false).is_err());
    }

    #[test]
    fn every_address_of_a_name_is_looked_at_and_plain_http_stays_on_this_machine() {
        let outside: IpAddr = "8.8.8.8".parse().unwrap();
        let (inside, here): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "127.0.0.1".parse().unwrap());
        let target = Target::parse("https://hooks.example.com/", false).unwrap();
        assert!(target.admits(&[outside], false).is_ok());
        assert!(target.admits(&[outside, inside], false).is_err());
        assert!(target.admits(&[here], false).is_err());
        assert!(target.admits(&[here], true).is_ok());
        assert!(target.admits(&[inside], true).is_err(), "only this machine is let through");
        let plain = Target::parse("http://hooks.example.com/", true).unwrap();
        assert!(plain.admits(&[here], true).is_ok());
        assert!(plain.admits(&[outside], true).is_err());
        assert!(Target::parse("http://127.0.0.1:81/", true).is_ok());
        assert!(Target::parse("http://10.0.0.1/", true).is_err());
    }
}
