//! `stockade keys`.

use crate::output::say;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Subcommand, ValueEnum};
use stockade_model::SupplierId;
use stockade_runtime::{KeyRing, Role};

use crate::config::{Config, Place};

/// What to do with keys.
#[derive(Subcommand)]
pub enum Command {
    /// Make a key and print it, once. A running server knows it within two seconds.
    Create {
        /// What it may do.
        #[arg(long)]
        role: RoleName,
        /// The supplier it is bound to, for the role supplier.
        #[arg(long)]
        supplier: Option<String>,
        /// Its name, which no other key may have: limits, audits and approvals go by it. Needed for an analyst's, an
        /// approver's and an operator's key, which stand for one person each.
        #[arg(long)]
        name: Option<String>,
        /// Where the key file is.
        #[command(flatten)]
        at: KeysAt,
        /// A key of the sandbox, which opens nothing of the live platform.
        #[arg(long)]
        sandbox: bool,
    },
    /// Show the keys there are: name, role, beginning of the hash, day.
    List {
        /// Print one JSON object a line instead.
        #[arg(long)]
        json: bool,
        /// Where the key file is.
        #[command(flatten)]
        at: KeysAt,
    },
    /// Take a key out. A running server refuses it within two seconds; it need not be restarted.
    Revoke {
        /// The name that `stockade keys list` shows.
        name: String,
        /// Where the key file is.
        #[command(flatten)]
        at: KeysAt,
    },
}

/// Where the key file is: in the data directory when that is given, else where the configuration says.
#[derive(clap::Args)]
pub struct KeysAt {
    /// The data directory.
    #[arg(long)]
    data: Option<PathBuf>,
    /// A YAML configuration file.
    #[arg(long)]
    config: Option<PathBuf>,
}

impl KeysAt {
    fn sandbox_file(&self) -> Result<PathBuf> {
        if let Some(data) = &self.data {
            return Ok(path(&data.join("sandbox")));
        }
        let place = Place { config: self.config.clone(), ..Place::default() };
        let config = Config::read(&place, &[]).map_err(|e| anyhow::anyhow!("configuration: {e}"))?;
        Ok(crate::sandbox::beside(&config).keys_file())
    }

    /// How many keys are made within an hour: as the configuration says, where one is named, or the environment.
    fn per_hour_max(&self) -> Result<usize> {
        let place = Place { config: self.config.clone(), ..Place::default() };
        match Config::read(&place, &[]) {
            Ok(config) => Ok(config.keys.per_hour_max),
            // What is wrong with an environment that was not asked about makes no difference to a key.
            Err(_) if self.config.is_none() => Ok(Config::default().keys.per_hour_max),
            Err(error) => Err(anyhow::anyhow!("configuration: {error}")),
        }
    }

    fn file(&self) -> Result<PathBuf> {
        if let Some(data) = &self.data {
            return Ok(path(data));
        }
        let place = Place { config: self.config.clone(), ..Place::default() };
        let config = Config::read(&place, &[]).map_err(|e| anyhow::anyhow!("configuration: {e}"))?;
        Ok(config.keys_file())
    }

    /// The keys of a file that must be there.
    fn existing(&self) -> Result<KeyRing> {
        let file = self.file()?;
        anyhow::ensure!(
            file.exists(),
            "there is no key file {}; name the data directory with --data, or make a key with `stockade keys create`",
            file.display()
        );
        Ok(KeyRing::open(&file)?)
    }
}

/// Roles by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RoleName {
    /// Submits its own inventory.
    Supplier,
    /// Asks for availability.
    Buyer,
    /// Reports order outcomes.
    OrderSystem,
    /// Tunes rules and releases.
    Analyst,
    /// The same, and approves what analysts wrote.
    Approver,
    /// Registers suppliers and runs the platform.
    Operator,
}

/// The key file of a data directory.
pub fn path(directory: &Path) -> PathBuf {
    directory.join("keys.jsonl")
}

/// Runs the command.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Create { role, supplier, name, at, sandbox } => create(role, supplier, name, &at, sandbox),
        Command::List { json, at } => list(json, &at),
        Command::Revoke { name, at } => {
            at.existing()?.revoke(&name)?;
            say!("{name} is revoked");
            Ok(())
        }
    }
}

fn create(
    role: RoleName,
    supplier: Option<String>,
    name: Option<String>,
    at: &KeysAt,
    sandbox: bool,
) -> Result<()> {
    let role = match (role, supplier) {
        (RoleName::Supplier, Some(supplier)) => Role::Supplier { supplier: SupplierId::new(&supplier)? },
        (RoleName::Supplier, None) => anyhow::bail!("a supplier's key needs --supplier ID"),
        (_, Some(_)) => anyhow::bail!("--supplier goes with --role supplier only"),
        (RoleName::Buyer, None) => Role::Buyer,
        (RoleName::OrderSystem, None) => Role::OrderSystem,
        (RoleName::Analyst, None) => Role::Analyst,
        (RoleName::Approver, None) => Role::Approver,
        (RoleName::Operator, None) => Role::Operator,
    };
    let file = if sandbox { at.sandbox_file()? } else { at.file()? };
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
    }
    let keys = if sandbox { KeyRing::open_sandbox(&file)? } else { KeyRing::open(&file)? };
    let keys = keys.making_at_most(at.per_hour_max()?);
    let key = match name {
        Some(name) => keys.create(&name, role)?,
        None => keys.create_unnamed(role)?,
    };
    say!("{key}");
    Ok(())
}

fn list(json: bool, at: &KeysAt) -> Result<()> {
    let keys = at.existing()?;
    for key in keys.list()? {
        if json {
            say!("{}", serde_json::to_string(&key)?);
            continue;
        }
        let of = match &key.principal.role {
            Role::Supplier { supplier } => format!("supplier {supplier}"),
            role => role.name().to_owned(),
        };
        let made = key.created.map_or_else(|| "-".to_owned(), |at| at.to_string());
        say!("{:32} {of:32} {}… {made}", key.principal.id, key.fingerprint);
    }
    for name in keys.shared_names()? {
        crate::output::complain(format_args!(
            "several keys were named {name}; revoke what is not needed and give each person a key with --name"
        ));
    }
    Ok(())
}
