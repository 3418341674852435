//! Programs of others that look at the API in tests: they are installed under `target/contract-tools` and nowhere else.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::machine::{has, may_add};

/// What the tests of the documents and of the client in TypeScript take from npm, exactly these.
const PACKAGES: [&str; 2] = ["typescript@5.9.3", "@asyncapi/specs@6.11.1"];
/// What the environment of Python holds, from the root of the repository.
const REQUIREMENTS: &str = "services/stockade/tests/contract/requirements.txt";

/// Installs them where they are absent or others. Where that cannot be, the line that does it is named, and the tests that need
/// them say that they are skipped.
pub(crate) fn set_up(root: &Path) -> Result<()> {
    let tools = root.join("target/contract-tools");
    let requirements = root.join(REQUIREMENTS);
    let wanted = std::fs::read_to_string(&requirements).context(REQUIREMENTS)? + &PACKAGES.join(" ");
    let complete = tools.join("complete");
    // What could not be had the last time is tried again.
    if std::fs::read_to_string(&complete).ok().as_deref() == Some(wanted.as_str()) {
        return Ok(());
    }
    println!("== tools that look at the API, into target/contract-tools");
    std::fs::create_dir_all(&tools)?;
    let venv = tools.join("venv");
    let pip = venv.join("bin/pip");
    let make = || has("python3") && done(Command::new("python3").args(["-m", "venv"]).arg(&venv));
    // Debian keeps what makes an environment in a package of its own.
    let installed = (make() || (may_add(&["python3-venv"]) && make()))
        && done(Command::new(pip).args(["install", "--quiet", "--no-deps", "-r"]).arg(&requirements));
    if !installed {
        println!(
            "they could not be installed, so the tests that need them are skipped; with Python 3.10 or newer and a network: \
             python3 -m venv target/contract-tools/venv && target/contract-tools/venv/bin/pip install --no-deps -r {REQUIREMENTS}"
        );
        return Ok(());
    }
    let npm = has("npm")
        && has("node")
        && done(
            Command::new("npm")
                .args([
                    "install",
                    "--silent",
                    "--no-save",
                    "--no-audit",
                    "--no-fund",
                    "--ignore-scripts",
                    "--prefix",
                ])
                .arg(&tools)
                .args(PACKAGES),
        );
    if !npm {
        println!(
            "Node and npm are missing, so the client in TypeScript is not tested; with them: npm install --no-save --prefix target/contract-tools {}",
            PACKAGES.join(" ")
        );
    }
    std::fs::write(complete, if npm { wanted } else { "all but what npm brings".to_owned() })?;
    Ok(())
}

fn done(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}
