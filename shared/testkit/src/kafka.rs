//! A real Apache Kafka in KRaft mode: its jars from Maven Central, pinned, cached outside the repository.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{Process, free_ports, wait_until};

/// The version used. 4.x needs Java 17.
const VERSION: &str = "4.1.1";
/// Where its log goes; without it Kafka says nothing about why it did not start.
const SLF4J_VERSION: &str = "1.7.36";
/// How long a start may take.
const START: Duration = Duration::from_secs(60);
/// User of the listeners that ask for one.
pub const SASL_USER: &str = "stockade";
/// Its password.
pub const SASL_PASSWORD: &str = "stockade-secret";

/// What kind of cluster.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// How many brokers.
    pub brokers: usize,
    /// Also listen with SASL (PLAIN, SCRAM-SHA-256) and with TLS.
    pub secure: bool,
    /// Ports that the plain listeners are reached at, when something stands in front of them.
    pub advertised: Option<Vec<u16>>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self { brokers: 1, secure: false, advertised: None }
    }
}

struct Ports {
    plain: u16,
    controller: u16,
    sasl: u16,
    tls: u16,
}

/// A cluster; killed when dropped.
pub struct Kafka {
    directory: PathBuf,
    options: KafkaOptions,
    ports: Vec<Ports>,
    jars: PathBuf,
    brokers: Vec<Option<Process>>,
}

/// Where the jars are kept: `STOCKADE_CACHE`, or the user's cache directory.
fn cache() -> PathBuf {
    let own = std::env::var_os("STOCKADE_CACHE").map(PathBuf::from);
    let users = || std::env::var_os("XDG_CACHE_HOME").map(|path| PathBuf::from(path).join("stockade"));
    let home = || std::env::var_os("HOME").map(|path| PathBuf::from(path).join(".cache/stockade"));
    own.or_else(users).or_else(home).unwrap_or_else(|| PathBuf::from("/tmp/stockade-cache"))
}

/// The directory with Kafka's jars, fetched when missing.
fn jars() -> Result<PathBuf> {
    let directory = cache().join(format!("kafka-{VERSION}"));
    if directory.join("complete").exists() {
        return Ok(directory);
    }
    // Fetched beside and renamed, so that two at once or a broken download leave nothing half.
    let fresh = cache().join(format!("kafka-{VERSION}.{}", std::process::id()));
    std::fs::create_dir_all(&fresh)?;
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
        )
    };
    let pom = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion><groupId>stockade</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging><dependencies>{}{}</dependencies></project>",
        dependency("org.apache.kafka", "kafka_2.13", VERSION),
        dependency("org.slf4j", "slf4j-simple", SLF4J_VERSION),
    );
    std::fs::write(fresh.join("pom.xml"), pom)?;
    let output = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=."])
        .current_dir(&fresh)
        .output()
        .context(
            "Kafka's jars come by Maven: install maven and a JDK of 17 or later (or set STOCKADE_TEST_KAFKA)",
        )?;
    anyhow::ensure!(
        output.status.success(),
        "Maven could not fetch Kafka {VERSION}: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    std::fs::write(fresh.join("complete"), "")?;
    if std::fs::rename(&fresh, &directory).is_err() {
        let _ = std::fs::remove_dir_all(&fresh);
    }
    anyhow::ensure!(
        directory.join("complete").exists(),
        "Kafka's jars did not arrive in {}",
        directory.display()
    );
    Ok(directory)
}

fn check_java() -> Result<()> {
    let output = Command::new("java").arg("-version").output();
    let output = output.context("Kafka needs Java 17 or later: apt-get install openjdk-17-jdk-headless")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let version = text.split('"').nth(1).unwrap_or("");
    let major: u32 = version.split('.').next().and_then(|part| part.parse().ok()).unwrap_or(0);
    anyhow::ensure!(major >= 17, "Kafka {VERSION} needs Java 17 or later, this is {version:?}");
    Ok(())
}

impl Kafka {
    /// Starts a cluster and waits until it answers.
    pub fn start(directory: &Path, options: KafkaOptions) -> Result<Self> {
        check_java()?;
        let jars = jars()?;
        std::fs::create_dir_all(directory)?;
        let free = free_ports(options.brokers * 4)?;
        let ports: Vec<Ports> =
            free.chunks(4).map(|p| Ports { plain: p[0], controller: p[1], sasl: p[2], tls: p[3] }).collect();
        let brokers = (0..options.brokers).map(|_| None).collect();
        let mut kafka = Self { directory: directory.to_owned(), options, ports, jars, brokers };
        if kafka.options.secure {
            kafka.make_certificate()?;
        }
        for index in 0..kafka.options.brokers {
            kafka.format(index)?;
        }
        for index in 0..kafka.options.brokers {
            kafka.launch(index)?;
        }
        kafka.wait_up()?;
        Ok(kafka)
    }

    /// Addresses of the plain listeners, comma-separated.
    pub fn addresses(&self) -> String {
        let ports = (0..self.options.brokers).map(|index| format!("127.0.0.1:{}", self.advertised(index)));
        ports.collect::<Vec<_>>().join(",")
    }
    /// Ports that the brokers really listen on.
    pub fn ports(&self) -> Vec<u16> {
        self.ports.iter().map(|ports| ports.plain).collect()
    }
    /// Address of the first broker's SASL listener.
    pub fn sasl_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0].sasl)
    }
    /// Address of the first broker's TLS listener.
    pub fn tls_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0].tls)
    }
    /// The certificate that clients of the TLS listener need to trust.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }
    /// Kills a broker.
    pub fn kill(&mut self, index: usize) -> Result<()> {
        self.brokers[index].take().map_or(Ok(()), |mut broker| broker.kill())
    }
    /// Starts a killed broker again, on the same ports with the same data.
    pub fn start_again(&mut self, index: usize) -> Result<()> {
        self.launch(index)?;
        self.wait_up()
    }
    /// Lets it run on without us.
    pub fn detach(mut self) -> Vec<u32> {
        self.brokers.iter_mut().filter_map(Option::take).map(Process::detach).collect()
    }

    fn advertised(&self, index: usize) -> u16 {
        self.options.advertised.as_ref().map_or(self.ports[index].plain, |ports| ports[index])
    }

    fn java(&self) -> Command {
        let mut command = Command::new("java");
        let classes = format!("{}/*", self.jars.display());
        command.args([
            "-Xmx512m",
            "-XX:+UseSerialGC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            &classes,
        ]);
        command
    }

    fn keytool(&self, args: &[&str]) -> Result<()> {
        let output = Command::new("keytool").args(args).current_dir(&self.directory).output()?;
        anyhow::ensure!(output.status.success(), "keytool: {}", String::from_utf8_lossy(&output.stdout));
        Ok(())
    }

    fn make_certificate(&self) -> Result<()> {
        let store =
            ["-keystore", "keys.p12", "-storetype", "PKCS12", "-storepass", SASL_PASSWORD, "-alias", "kafka"];
        let pair = [
            "-genkeypair",
            "-keyalg",
            "RSA",
            "-keysize",
            "2048",
            "-validity",
            "2",
            "-dname",
            "CN=localhost",
            "-ext",
            "SAN=ip:127.0.0.1,dns:localhost",
        ];
        self.keytool(&[&pair[..], &store].concat())?;
        self.keytool(&[&["-exportcert", "-rfc", "-file", "ca.pem"][..], &store].concat())
    }

    fn properties(&self, index: usize) -> String {
        let ports = &self.ports[index];
        let copies = self.options.brokers.min(3);
        let voters: Vec<String> = self
            .ports
            .iter()
            .enumerate()
            .map(|(id, ports)| format!("{}@127.0.0.1:{}", id + 1, ports.controller))
            .collect();
        let mut listeners =
            format!("PLAIN://127.0.0.1:{},CONTROLLER://127.0.0.1:{}", ports.plain, ports.controller);
        let mut advertised = format!("PLAIN://127.0.0.1:{}", self.advertised(index));
        let mut more = String::new();
        if self.options.secure {
            let both = format!(",SASL://127.0.0.1:{},TLS://127.0.0.1:{}", ports.sasl, ports.tls);
            listeners.push_str(&both);
            advertised.push_str(&both);
            more = format!(
                "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256\n\
                 listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{SASL_USER}=\"{SASL_PASSWORD}\";\n\
                 listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
                 listener.name.tls.ssl.keystore.location={keys}\n\
                 listener.name.tls.ssl.keystore.type=PKCS12\n\
                 listener.name.tls.ssl.keystore.password={SASL_PASSWORD}\n",
                keys = self.directory.join("keys.p12").display(),
            );
        }
        format!(
            "process.roles=broker,controller\n\
             node.id={id}\n\
             controller.quorum.voters={voters}\n\
             controller.listener.names=CONTROLLER\n\
             listeners={listeners}\n\
             advertised.listeners={advertised}\n\
             inter.broker.listener.name=PLAIN\n\
             listener.security.protocol.map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL\n\
             log.dirs={data}\n\
             auto.create.topics.enable=false\n\
             offsets.topic.num.partitions=8\n\
             offsets.topic.replication.factor={copies}\n\
             transaction.state.log.num.partitions=8\n\
             transaction.state.log.replication.factor={copies}\n\
             transaction.state.log.min.isr={least}\n\
             transaction.abort.timed.out.transaction.cleanup.interval.ms=1000\n\
             group.initial.rebalance.delay.ms=0\n\
             message.max.bytes=9000000\n\
             log.cleaner.dedupe.buffer.size=16777216\n\
             {more}",
            id = index + 1,
            voters = voters.join(","),
            data = self.directory.join(format!("data-{index}")).display(),
            least = copies.saturating_sub(1).max(1),
        )
    }

    fn config(&self, index: usize) -> PathBuf {
        self.directory.join(format!("broker-{index}.properties"))
    }

    /// Sixteen bytes in URL-safe base64, others for each cluster that runs: whoever copies from one to another asks whether they are two.
    fn cluster_id(&self) -> String {
        let port = self.ports.first().map_or(0, |ports| ports.plain);
        format!("stockade{port:013}A")
    }

    fn format(&self, index: usize) -> Result<()> {
        let config = self.config(index);
        std::fs::write(&config, self.properties(index))?;
        let mut command = self.java();
        command.args(["kafka.tools.StorageTool", "format", "-t", &self.cluster_id(), "-c"]).arg(&config);
        if self.options.secure {
            let user = format!("SCRAM-SHA-256=[name={SASL_USER},password={SASL_PASSWORD}]");
            command.args(["--add-scram", &user]);
        }
        let output = command.output()?;
        anyhow::ensure!(
            output.status.success(),
            "Kafka's storage could not be made: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    fn launch(&mut self, index: usize) -> Result<()> {
        let mut command = self.java();
        command.arg("kafka.Kafka").arg(self.config(index));
        let log = self.directory.join(format!("broker-{index}.log"));
        self.brokers[index] = Some(Process::start("kafka", command, &log)?);
        Ok(())
    }

    /// A broker listens only once it has its metadata.
    fn wait_up(&mut self) -> Result<()> {
        let ports: Vec<u16> = self
            .ports
            .iter()
            .zip(&self.brokers)
            .filter(|(_, broker)| broker.is_some())
            .map(|(ports, _)| ports.plain)
            .collect();
        let mut died = None;
        let up = wait_until(START, || {
            died = self.brokers.iter_mut().flatten().position(|broker| !broker.runs());
            died.is_some()
                || ports.iter().all(|port| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok())
        });
        let log = self.directory.join(format!("broker-{}.log", died.unwrap_or(0)));
        anyhow::ensure!(died.is_none(), "a Kafka broker ended at once, see {}", log.display());
        anyhow::ensure!(up, "Kafka did not listen within {START:?}, see {}", log.display());
        Ok(())
    }
}
