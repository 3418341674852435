//! Addresses and networks.

use std::net::IpAddr;

use super::{
    eval::{Outcome, error},
    value::Value,
};

pub(super) fn function(name: &str, args: &[Value]) -> Option<Outcome> {
    use Value::{Cidr, Ip, Text};
    Some(match (name, args) {
        ("ip", [Text(text)]) => match read_ip(text) {
            Some(ip) => Ok(Ip(ip)),
            None => error("this is not an IP address, or an IPv4 address in IPv6 form"),
        },
        ("isIP", [Text(text)]) => Ok(Value::Bool(read_ip(text).is_some())),
        ("ip.isCanonical", [Text(text)]) => match read_ip(text) {
            Some(ip) => Ok(Value::Bool(ip.to_string() == **text)),
            None => error("this is not an IP address"),
        },
        ("cidr", [Text(text)]) => match read_cidr(text) {
            Some((ip, prefix)) => Ok(Cidr(ip, prefix)),
            None => error("this is not a network such as 10.0.0.0/8"),
        },
        ("isCIDR", [Text(text)]) => Ok(Value::Bool(read_cidr(text).is_some())),
        ("string", [Ip(ip)]) => Ok(ip.to_string().into()),
        ("string", [Cidr(ip, prefix)]) => Ok(format!("{ip}/{prefix}").into()),
        _ => return None,
    })
}

pub(super) fn method(name: &str, args: &[Value]) -> Option<Outcome> {
    use Value::{Bool, Cidr, Int, Ip, Text};
    Some(match (name, args) {
        ("family", [Ip(ip)]) => Ok(Int(if ip.is_ipv4() { 4 } else { 6 })),
        ("isUnspecified", [Ip(ip)]) => Ok(Bool(ip.is_unspecified())),
        ("isLoopback", [Ip(ip)]) => Ok(Bool(ip.is_loopback())),
        ("isLinkLocalMulticast", [Ip(ip)]) => Ok(Bool(link_local_multicast(*ip))),
        ("isLinkLocalUnicast", [Ip(ip)]) => Ok(Bool(link_local(*ip))),
        ("isGlobalUnicast", [Ip(ip)]) => {
            let special = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || link_local(*ip);
            Ok(Bool(!special && *ip != IpAddr::from([255, 255, 255, 255])))
        }
        ("containsIP", [Cidr(net, prefix), Ip(ip)]) => Ok(Bool(contains(*net, *prefix, *ip, None))),
        ("containsIP", [Cidr(net, prefix), Text(text)]) => match read_ip(text) {
            Some(ip) => Ok(Bool(contains(*net, *prefix, ip, None))),
            None => error("this is not an IP address"),
        },
        ("containsCIDR", [Cidr(net, prefix), Cidr(ip, inner)]) => {
            Ok(Bool(contains(*net, *prefix, *ip, Some(*inner))))
        }
        ("containsCIDR", [Cidr(net, prefix), Text(text)]) => match read_cidr(text) {
            Some((ip, inner)) => Ok(Bool(contains(*net, *prefix, ip, Some(inner)))),
            None => error("this is not a network such as 10.0.0.0/8"),
        },
        ("ip", [Cidr(ip, _)]) => Ok(Ip(*ip)),
        ("masked", [Cidr(ip, prefix)]) => Ok(Cidr(masked(*ip, *prefix), *prefix)),
        ("prefixLength", [Cidr(_, prefix)]) => Ok(Int(i64::from(*prefix))),
        _ => return None,
    })
}

/// An address. An IPv4 address in the form of IPv6, such as `::ffff:c0a8:1`, is that IPv4 address: whoever compares or
/// contains it means the machine, not the spelling.
fn read_ip(text: &str) -> Option<IpAddr> {
    as_written(text).map(|ip| ip.to_canonical())
}

fn as_written(text: &str) -> Option<IpAddr> {
    let ip: IpAddr = text.parse().ok()?;
    // `::ffff:1.2.3.4` is both forms at once, which the language refuses.
    (ip.is_ipv4() || !text.contains('.')).then_some(ip)
}

fn read_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, prefix) = text.split_once('/')?;
    let ip = as_written(ip)?;
    let plain = !prefix.is_empty()
        && prefix.bytes().all(|b| b.is_ascii_digit())
        && (prefix == "0" || !prefix.starts_with('0'));
    let prefix: u8 = plain.then(|| prefix.parse().ok()).flatten()?;
    if prefix > if ip.is_ipv4() { 32 } else { 128 } {
        return None;
    }
    // A network of nothing but IPv4 addresses in the form of IPv6 is that of IPv4.
    match (ip.to_canonical(), prefix.checked_sub(96)) {
        (IpAddr::V4(v4), Some(prefix)) if ip.is_ipv6() => Some((IpAddr::V4(v4), prefix)),
        _ => Some((ip, prefix)),
    }
}

fn masked(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

fn contains(net: IpAddr, prefix: u8, ip: IpAddr, inner: Option<u8>) -> bool {
    net.is_ipv4() == ip.is_ipv4()
        && inner.is_none_or(|inner| inner >= prefix)
        && masked(net, prefix) == masked(ip, prefix)
}

fn link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn link_local_multicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
    }
}
