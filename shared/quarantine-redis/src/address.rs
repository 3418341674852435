//! Where Redis is: one server, a Sentinel set or a cluster.

use stockade_quarantine::StoreError;

/// Which kind of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Single,
    Sentinel { master: String },
    Cluster,
}

/// An address that was understood. Its `Debug` is not derived, for it holds a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) kind: Kind,
    pub(crate) tls: bool,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    /// `host:port` of each node.
    pub(crate) hosts: Vec<String>,
    pub(crate) database: i64,
}

impl Address {
    /// `redis://[user:password@]host:port[/db]`, `redis+sentinel://…@host:port,host:port/master`,
    /// `redis+cluster://…@host:port,host:port`; `rediss` instead of `redis` for TLS.
    pub(crate) fn parse(url: &str) -> Result<Self, StoreError> {
        let wrong = |what: &str| {
            StoreError(format!(
                "the address is wrong: {what}; write redis://host:6379, redis+sentinel://host:26379,host:26379/master or redis+cluster://host:6379,host:6379, with rediss for TLS"
            ))
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        let (base, variant) = scheme.split_once('+').unwrap_or((scheme, ""));
        let tls = match base {
            "redis" => false,
            "rediss" => true,
            _ => return Err(wrong("its scheme is not redis or rediss")),
        };
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(login), rest),
            None => (None, rest),
        };
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or(("", login))) {
            Some((user, password)) => (
                (!user.is_empty()).then(|| user.to_owned()),
                (!password.is_empty()).then(|| password.to_owned()),
            ),
            None => (None, None),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let port = if variant == "sentinel" { 26_379 } else { 6_379 };
        let with_port =
            |host: &str| if host.contains(':') { host.to_owned() } else { format!("{host}:{port}") };
        let hosts: Vec<String> = hosts.split(',').filter(|host| !host.is_empty()).map(with_port).collect();
        if hosts.is_empty() {
            return Err(wrong("it names no host"));
        }
        let mut database = 0;
        let kind = match variant {
            "sentinel" if path.is_empty() => return Err(wrong("it does not name the master")),
            "sentinel" => Kind::Sentinel { master: path.to_owned() },
            "cluster" => Kind::Cluster,
            "" => {
                if !path.is_empty() {
                    database = path.parse().map_err(|_| wrong("its database is not a number"))?;
                }
                Kind::Single
            }
            _ => return Err(wrong("it is neither +sentinel nor +cluster")),
        };
        if kind == Kind::Single && hosts.len() > 1 {
            return Err(wrong("several hosts need +sentinel or +cluster"));
        }
        Ok(Self { kind, tls, user, password, hosts, database })
    }

    /// The hosts, without anything secret.
    pub(crate) fn shown(&self) -> String {
        self.hosts.join(",")
    }

    /// Refuses what this build does not have.
    pub(crate) fn built(self, with_tls: bool) -> Result<Self, StoreError> {
        if self.tls && !with_tls {
            return Err(StoreError(
                "rediss needs a build with TLS: `cargo build --release --features tls`, with OpenSSL's headers (libssl-dev), or the container image".to_owned(),
            ));
        }
        Ok(self)
    }

    /// URLs as the redis crate reads them, one for each host.
    pub(crate) fn urls(&self) -> Vec<String> {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let login = match (&self.user, &self.password) {
            (user, Some(password)) => format!("{}:{password}@", user.as_deref().unwrap_or("")),
            _ => String::new(),
        };
        let database = if self.kind == Kind::Single { format!("/{}", self.database) } else { String::new() };
        self.hosts.iter().map(|host| format!("{scheme}://{login}{host}{database}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_sentinel_and_cluster_addresses_are_understood() {
        let single = Address::parse("rediss://ann:se:cret@r.example:7000/2").unwrap();
        assert_eq!(single.urls(), ["rediss://ann:se:cret@r.example:7000/2"]);
        assert!(single.tls && single.user.as_deref() == Some("ann") && single.shown() == "r.example:7000");
        assert!(single.clone().built(true).is_ok());
        assert!(single.built(false).is_err_and(|error| error.0.contains("--features tls")));
        let sentinel = Address::parse("redis+sentinel://:pw@a,b:1234/main").unwrap();
        assert_eq!(sentinel.kind, Kind::Sentinel { master: "main".to_owned() });
        assert_eq!(sentinel.hosts, ["a:26379", "b:1234"]);
        let cluster = Address::parse("redis+cluster://a,b").unwrap();
        assert_eq!(
            (cluster.kind.clone(), cluster.urls()),
            (Kind::Cluster, vec!["redis://a:6379".to_owned(), "redis://b:6379".to_owned()])
        );
    }

    #[test]
    fn a_wrong_address_is_refused_without_showing_its_password() {
        for url in [
            "localhost:6379",
            "http://a",
            "redis://",
            "redis://:pw@a,b",
            "redis+sentinel://:pw@a",
            "redis+x://:pw@a",
            "redis://:pw@a/db",
        ] {
            let text = Address::parse(url).err().unwrap().to_string();
            assert!(text.contains("redis+sentinel://") && !text.contains("pw@"), "{text}");
        }
    }
}
