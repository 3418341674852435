//! The pages of the console: whether what is committed is what the source makes, and their tests in a real Chromium.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    machine::{has, may_add},
    shown,
};

/// Where the pages are, from the root of the repository.
const WEB: &str = "services/console/web";
/// Programs that are a Chromium.
const CHROMIUM: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

fn npm(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.args(args).current_dir(folder);
    command
}

fn run(what: &str, mut command: Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{what} could not be started"))?;
    anyhow::ensure!(status.success(), "{what} failed");
    Ok(())
}

/// The files of a folder with what is in them, by their paths in it.
fn files(folder: &Path) -> Result<std::collections::BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = std::collections::BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder)?.to_owned(), std::fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

/// Builds the pages in a clean folder with exactly the packages of the lock file, and compares. Says so where that cannot be.
/// The answer is whether the packages are there for the tests.
pub(crate) fn check(root: &Path) -> Result<bool> {
    if !has("node") || !has("npm") {
        println!(
            "Node and npm are missing, so the pages of the console are neither rebuilt nor tested; with Debian: apt-get install nodejs npm"
        );
        return Ok(false);
    }
    let web = root.join(WEB);
    let clean = root.join("target/console-web");
    if clean.exists() {
        std::fs::remove_dir_all(&clean)?;
    }
    std::fs::create_dir_all(&clean)?;
    for name in ["package.json", "package-lock.json", "tsconfig.json", "build.mjs", "sizes.mjs"] {
        std::fs::copy(web.join(name), clean.join(name)).with_context(|| format!("{WEB}/{name}"))?;
    }
    for (path, bytes) in files(&web.join("src"))? {
        let to = clean.join("src").join(path);
        to.parent().map(std::fs::create_dir_all).transpose()?;
        std::fs::write(to, bytes)?;
    }
    let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"];
    if !npm(&clean, &install).status().is_ok_and(|status| status.success()) {
        println!(
            "npm could not fetch the packages of {WEB}/package-lock.json, so the pages are neither rebuilt nor tested; with a network: npm ci --prefix {WEB}"
        );
        return Ok(false);
    }
    run("the check of the pages' types", npm(&clean, &["run", "--silent", "check"]))?;
    run("the build of the pages", npm(&clean, &["run", "--silent", "build"]))?;
    run("the check of the pages' size", npm(&clean, &["run", "--silent", "sizes"]))?;
    let is_same = files(&clean.join("dist"))? == files(&web.join("dist"))?;
    anyhow::ensure!(
        is_same,
        "{WEB}/dist is not what its source makes: run `npm ci --ignore-scripts && npm run build` there and commit dist"
    );
    Ok(true)
}

/// Runs the tests of the pages against the binary that was built with the other tests.
pub(crate) fn test(root: &Path) -> Result<()> {
    if !CHROMIUM.into_iter().any(has) && !may_add(&["chromium"]) {
        println!(
            "Chromium is missing, so the pages of the console are not tested; with Debian: apt-get install chromium"
        );
        return Ok(());
    }
    let web = root.join(WEB);
    // The packages were fetched for the check; a link spares a second copy.
    let modules = web.join("node_modules");
    if !modules.exists() {
        std::os::unix::fs::symlink(root.join("target/console-web/node_modules"), &modules)?;
    }
    watch(npm(&web, &["test", "--silent"]))
}

/// Runs the tests of the pages, and has what was said of those that failed in the error: much else follows these tests, and who reads
/// the end is to find it there.
fn watch(command: Command) -> Result<()> {
    let mut failures = Failures::default();
    let status = shown(command, |line| failures.take(line)).context("the tests of the pages")?;
    anyhow::ensure!(status.success(), "the tests of the pages failed\n{}", failures.text);
    Ok(())
}

/// What a report in TAP says of tests that failed: their line and the block below it.
#[derive(Default)]
struct Failures {
    text: String,
    within: bool,
}

impl Failures {
    fn take(&mut self, line: &str) {
        let begins = line.trim_start();
        self.within |= begins.starts_with("not ok");
        if self.within {
            self.text.push_str(line);
            self.text.push('\n');
        }
        self.within &= begins != "...";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_test_that_failed_is_kept_and_of_others_is_not() {
        let mut failures = Failures::default();
        let report = "ok 1 - a\n  ---\n  duration_ms: 1\n  ...\n    not ok 2 - b\n      ---\n      error: 'no offers'\n      ...\nok 3 - c";
        report.lines().for_each(|line| failures.take(line));
        assert_eq!(failures.text, "    not ok 2 - b\n      ---\n      error: 'no offers'\n      ...\n");
    }
}
