//! Builds the manifests of `k8s/` and checks them against Kubernetes' schemas, without a cluster.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result};

use crate::root;

/// The checker, from PyPI.
const VALIDATOR: &str = "kubernetes-validate==1.37.0";
/// Built by it when there is no kubectl.
const KUSTOMIZE: &str = "sigs.k8s.io/kustomize/kustomize/v5@v5.5.0";
/// Kinds of operators, for which Kubernetes has no schema. Nothing else may lack one.
const CUSTOM_KINDS: &[&str] =
    &["Kafka", "KafkaNodePool", "KafkaUser", "ScaledObject", "TriggerAuthentication"];

fn works(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

fn success(what: &str, output: Output) -> Result<String> {
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    anyhow::ensure!(output.status.success(), "{what}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

/// `kubectl kustomize`, or kustomize itself, built when Go is there; `None` when neither can be had.
fn builder(tools: &Path) -> Option<Command> {
    if works("kubectl", &["version", "--client"]) {
        let mut command = Command::new("kubectl");
        command.arg("kustomize");
        return Some(command);
    }
    let own = tools.join("kustomize");
    if !own.exists() && works("go", &["version"]) {
        let _ = Command::new("go").args(["install", KUSTOMIZE]).env("GOBIN", tools).status();
    }
    own.exists().then(|| {
        let mut command = Command::new(own);
        command.arg("build");
        command
    })
}

fn validator(tools: &Path) -> Option<PathBuf> {
    let program = tools.join("python/bin/kubernetes-validate");
    if !program.exists() && works("python3", &["-m", "venv", &tools.join("python").display().to_string()]) {
        let pip = tools.join("python/bin/pip");
        let _ = Command::new(pip).args(["-q", "install", VALIDATOR]).status();
    }
    program.exists().then_some(program)
}

/// Checks every folder with a kustomization; says so where the tools cannot be had.
pub(crate) fn check() -> Result<()> {
    let tools = root().canonicalize()?.join("target/tools");
    std::fs::create_dir_all(&tools)?;
    let (Some(_), Some(validator)) = (builder(&tools), validator(&tools)) else {
        println!("left out: it needs kubectl (or Go, to build kustomize) and python3 with PyPI in reach");
        return Ok(());
    };
    for (folder, least) in [("base", 15), ("example", 15), ("region", 5)] {
        let mut build = builder(&tools).context("the builder went away")?;
        let built = build.arg(root().join("k8s").join(folder)).output()?;
        let built = success(&format!("k8s/{folder} does not build"), built)?;
        let file = tools.join(format!("{folder}.yaml"));
        std::fs::write(&file, &built)?;
        let checked = Command::new(&validator).arg("--strict").arg(&file).output()?;
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&checked.stdout),
            String::from_utf8_lossy(&checked.stderr)
        );
        let is_custom = |line: &str| {
            CUSTOM_KINDS.iter().any(|kind| line.contains(&format!("find schema for kind {kind} ")))
        };
        let bad: Vec<&str> =
            said.lines().filter(|line| !line.starts_with("INFO") && !is_custom(line)).collect();
        anyhow::ensure!(checked.status.success() && bad.is_empty(), "k8s/{folder}: {}", bad.join("\n"));
        let passed = said.lines().filter(|line| line.starts_with("INFO")).count();
        anyhow::ensure!(passed >= least, "k8s/{folder}: only {passed} objects were checked");
        println!(
            "k8s/{folder}: {passed} objects fit their schemas, those of operators ({}) have none",
            CUSTOM_KINDS.join(", ")
        );
    }
    Ok(())
}
