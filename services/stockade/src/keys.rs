//! `stockade keys`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Subcommand, ValueEnum};
use stockade_model::SupplierId;
use stockade_runtime::{KeyRing, Role};

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
        /// A name for it, for logs and audits.
        #[arg(long)]
        name: Option<String>,
        /// The data directory.
        #[arg(long, default_value = "./stockade-data")]
        data: PathBuf,
    },
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
pub fn path(directory: &std::path::Path) -> PathBuf {
    directory.join("keys.jsonl")
}

/// Runs the command.
pub fn run(command: Command) -> Result<()> {
    let Command::Create { role, supplier, name, data } = command;
    std::fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
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
    let name = name.unwrap_or_else(|| match &role {
        Role::Supplier { supplier } => supplier.to_string(),
        Role::Buyer => "buyer".to_owned(),
        Role::OrderSystem => "order-system".to_owned(),
        Role::Analyst => "analyst".to_owned(),
        Role::Approver => "approver".to_owned(),
        Role::Operator => "operator".to_owned(),
    });
    let key = KeyRing::open(&path(&data))?.create(&name, role)?;
    println!("{key}");
    Ok(())
}
