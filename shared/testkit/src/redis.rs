//! A real Redis.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{Process, free_ports, wait_until};

/// How long a start may take.
const START: Duration = Duration::from_secs(15);

/// A Redis server that keeps its data in a directory of its own.
pub struct Redis {
    directory: PathBuf,
    port: u16,
    arguments: Vec<String>,
    process: Option<Process>,
}

impl Redis {
    /// Starts one; `directory` is made if need be.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_with(directory, &[])
    }
    /// Starts one with further arguments.
    pub fn start_with(directory: &Path, arguments: &[&str]) -> Result<Self> {
        let usual = ["--save", "", "--appendonly", "no"];
        Self::launch(directory, usual.iter().chain(arguments).map(|text| (*text).to_owned()).collect())
    }
    /// Starts a sentinel with a configuration that it may rewrite.
    pub fn start_sentinel(directory: &Path, config: &Path) -> Result<Self> {
        Self::launch(directory, vec![config.display().to_string(), "--sentinel".to_owned()])
    }
    fn launch(directory: &Path, arguments: Vec<String>) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let port = free_ports(1)?[0];
        let mut redis = Self { directory: directory.to_owned(), port, arguments, process: None };
        redis.start_again()?;
        Ok(redis)
    }
    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }
    /// Starts it again on the same port, from the dump in its directory if there is one.
    pub fn start_again(&mut self) -> Result<()> {
        let mut command = Command::new("redis-server");
        let port = self.port.to_string();
        // A configuration file, if there is one, has to come first.
        command.args(&self.arguments);
        command.args(["--port", &port, "--bind", "127.0.0.1", "--set-proc-title", "no", "--dir"]);
        command.arg(&self.directory);
        let process = Process::start("redis", command, &self.directory.join("redis.log"));
        self.process = Some(
            process.context("install it with: apt-get install redis-server (or set STOCKADE_TEST_REDIS)")?,
        );
        let up = wait_until(START, || self.command(&["PING"]).is_ok_and(|answer| answer.contains("PONG")));
        anyhow::ensure!(
            up,
            "redis did not answer within {START:?}, see {}",
            self.directory.join("redis.log").display()
        );
        Ok(())
    }
    /// Kills it; what was not dumped is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }
    /// Lets it run on without us.
    pub fn detach(mut self) -> u32 {
        self.process.take().map_or(0, Process::detach)
    }
    /// Sends one command and gives the raw reply, without waiting for more than its first part.
    pub fn command(&self, words: &[&str]) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut text = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| text.push_str(&format!("${}\r\n{word}\r\n", word.len())));
        stream.write_all(text.as_bytes())?;
        let mut reply = vec![0; 1 << 16];
        let count = stream.read(&mut reply)?;
        Ok(String::from_utf8_lossy(&reply[..count]).into_owned())
    }
}
