//! What the tests start, and what is done when the machine has not got it.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

/// A program that tests start, and the package of Debian that has it.
struct Need {
    program: &'static str,
    package: &'static str,
    /// What is not tested without it.
    serves: &'static str,
}

const NEEDS: [Need; 3] = [
    Need { program: "redis-server", package: "redis-server", serves: "a real Redis" },
    Need { program: "java", package: "openjdk-17-jdk-headless", serves: "a real Kafka" },
    Need { program: "mvn", package: "maven", serves: "a real Kafka, which it fetches once" },
];

/// Whether a program can be started; what it answers does not matter.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Whether TLS can be built: OpenSSL's headers are where compilers or pkg-config look.
pub(crate) fn has_openssl() -> bool {
    let told = |name: &str| Command::new("pkg-config").args(["--exists", name]).status();
    let known = has("pkg-config") && told("openssl").is_ok_and(|status| status.success());
    known || Path::new("/usr/include/openssl/ssl.h").exists() || std::env::var_os("OPENSSL_DIR").is_some()
}

/// Installs what the tests start, where this may be done without asking anybody; else names the one line that does it.
pub(crate) fn set_up() -> Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !has(need.program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        println!("{} is missing: the tests need it for {}", need.program, need.serves);
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let line = format!("sudo apt-get install -y {}", packages.join(" "));
    let remedy = || format!("run `{line}`, or leave these tests out with `cargo xtask test --fast`");
    anyhow::ensure!(may_install() && has("apt-get"), "{}", remedy());
    println!("installing {}", packages.join(", "));
    let install = || apt(&[&["install", "-y", "--no-install-recommends"], &packages[..]].concat());
    if !install()? {
        // The lists of a fresh machine are empty or old.
        anyhow::ensure!(apt(&["update"])? && install()?, "they could not be installed: {}", remedy());
    }
    Ok(())
}

/// Installs packages without which tests can be run and say less, where that may be done.
pub(crate) fn may_add(packages: &[&str]) -> bool {
    let install =
        || apt(&[&["install", "-y", "--no-install-recommends"], packages].concat()).unwrap_or(false);
    let may = may_install() && has("apt-get");
    may && (install() || (apt(&["update"]).unwrap_or(false) && install()))
}

/// Whether this process may install packages: only as root of its own machine, as in a container or in CI.
fn may_install() -> bool {
    let own = std::fs::metadata("/proc/self");
    own.is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

fn apt(args: &[&str]) -> Result<bool> {
    let mut command = Command::new("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
    Ok(command.status().context("apt-get could not be started")?.success())
}
