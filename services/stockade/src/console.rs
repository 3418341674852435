//! `stockade console`: links that sign people in.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::Result;
use clap::Subcommand;
use stockade_console::{LINK_MINUTES, Links};
use stockade_model::SupplierId;
use stockade_runtime::{KeyRing, Role, Sessions};

use crate::{
    config::{Config, Place},
    output::{complain, say},
};

/// What to do with the console.
#[derive(Subcommand)]
pub enum Command {
    /// Print a link that signs one person in, once. It needs the data directory, as making a key does; a running server knows it at once.
    Link {
        /// What the person may do: analyst, approver, operator, buyer, or supplier:ID.
        #[arg(long, value_parser = role)]
        role: Role,
        /// The person's name, as audits, approvals and limits know them; the same as that of their key, if they have one.
        #[arg(long)]
        name: String,
        /// Minutes for which the link is good.
        #[arg(long, default_value_t = LINK_MINUTES, value_parser = clap::value_parser!(u32).range(1..=1_440))]
        minutes: u32,
        /// Where people reach the server, such as https://stockade.example; where the server of this directory listens, or last
        /// listened, when absent.
        #[arg(long)]
        url: Option<String>,
        /// The data directory.
        #[arg(long)]
        data: Option<PathBuf>,
        /// A YAML configuration file.
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// End all sessions of a person at the console, within seconds where a server runs.
    SignOut {
        /// The person's name.
        #[arg(long)]
        name: String,
        /// The data directory.
        #[arg(long)]
        data: Option<PathBuf>,
        /// A YAML configuration file.
        #[arg(long)]
        config: Option<PathBuf>,
    },
}

fn role(text: &str) -> Result<Role, String> {
    match text.split_once(':') {
        Some(("supplier", id)) => {
            let supplier = SupplierId::new(id).map_err(|error| error.to_string())?;
            Ok(Role::Supplier { supplier })
        }
        Some(_) => Err("only supplier has an id behind it, as in supplier:s-00042".to_owned()),
        None => match text {
            "analyst" => Ok(Role::Analyst),
            "approver" => Ok(Role::Approver),
            "operator" => Ok(Role::Operator),
            "buyer" => Ok(Role::Buyer),
            "supplier" => Err("say which supplier, as in supplier:s-00042".to_owned()),
            _ => Err("it must be analyst, approver, operator, buyer or supplier:ID".to_owned()),
        },
    }
}

/// The file of links of a data directory.
pub(crate) fn links_file(directory: &Path) -> PathBuf {
    directory.join("console-links.jsonl")
}

/// The file of sessions of a data directory.
pub(crate) fn sessions_file(directory: &Path) -> PathBuf {
    directory.join("console-sessions.jsonl")
}

/// The file that says where the server of a data directory listens: flags and the environment that it was started with are not known
/// to other commands.
fn address_file(directory: &Path) -> PathBuf {
    directory.join("api-address")
}

/// Notes where a server listens, for links that are made beside it.
pub(crate) fn note_address(directory: &Path, listens: SocketAddr) {
    if let Err(error) = std::fs::write(address_file(directory), format!("{listens}\n")) {
        tracing::warn!(%error, "where this server listens cannot be noted in its data directory, so `stockade console link` needs --url");
    }
}

/// Where a server listens that was started in this directory; `None` where none ever was. Who listens at every address of this
/// machine is reached from it by loopback.
fn noted_address(directory: &Path) -> Option<SocketAddr> {
    let mut listens: SocketAddr =
        std::fs::read_to_string(address_file(directory)).ok()?.trim().parse().ok()?;
    if listens.ip().is_unspecified() {
        listens.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    Some(listens)
}

/// The address that signs in with `token` at the server at `url`.
pub(crate) fn address(url: &str, token: &str) -> String {
    format!("{}/console/sign-in#{token}", url.trim_end_matches('/'))
}

/// Refuses a name that is another's: limits, audits and the approval by a second person go by names.
fn its_own(config: &Config, name: &str, role: &Role) -> Result<()> {
    let ring = KeyRing::open(&config.keys_file())?;
    anyhow::ensure!(
        !ring.shared_names()?.contains(name),
        "several keys are called {name}, and go by longer names; use the one that `stockade keys list` shows for this person"
    );
    let other = ring.list()?.into_iter().find(|key| key.principal.id == name && key.principal.role != *role);
    if let Some(other) = other {
        anyhow::bail!(
            "{name} is the name of a key with the role {}; a person has one role under one name, so use another name",
            other.principal.role.name()
        );
    }
    Ok(())
}

/// Runs the command.
pub fn run(command: Command) -> Result<()> {
    let (config, data) = match &command {
        Command::Link { config, data, .. } | Command::SignOut { config, data, .. } => {
            (config.clone(), data.clone())
        }
    };
    let place = Place { config, data, ..Place::default() };
    let config = Config::read(&place, &[]).map_err(|e| anyhow::anyhow!("configuration: {e}"))?;
    let directory = &config.log.directory;
    anyhow::ensure!(
        directory.is_dir(),
        "there is no data directory {}; name the one of the server with --data",
        directory.display()
    );
    let (role, name, minutes, url) = match command {
        Command::Link { role, name, minutes, url, .. } => (role, name, minutes, url),
        Command::SignOut { name, .. } => {
            Sessions::sign_out(&sessions_file(directory), &name)?;
            say!("{name} is signed out");
            return Ok(());
        }
    };
    its_own(&config, &name, &role)?;
    let noted = noted_address(directory);
    let url = match (url, noted) {
        (Some(url), _) => url,
        (None, Some(listens)) => format!("http://{listens}"),
        (None, None) if config.http.listen.port() == 0 => {
            anyhow::bail!(
                "the port is chosen at each start; say where the server is with --url http://HOST:PORT"
            )
        }
        (None, None) => format!("http://{}", config.http.listen),
    };
    if let Role::Supplier { supplier } = &role
        && !KeyRing::open(&config.keys_file())?.list()?.iter().any(|key| key.principal.role == role)
    {
        complain(format_args!(
            "note: no key is of the supplier {supplier}, and only the server knows who is registered; if it is not, the link opens a page with nothing on it"
        ));
    }
    let token = Links::at(&links_file(directory)).make(&name, role, minutes)?;
    say!("{}", address(&url, &token));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_where_the_server_of_its_directory_listens() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert_eq!(noted_address(path), None);
        for (listens, reached) in [
            ("127.0.0.1:7500", "127.0.0.1:7500"),
            ("0.0.0.0:7501", "127.0.0.1:7501"),
            ("[::]:7502", "127.0.0.1:7502"),
        ] {
            note_address(path, listens.parse().unwrap());
            assert_eq!(noted_address(path).map(|address| address.to_string()).as_deref(), Some(reached));
        }
    }
}
