//! The shapes that people run Redis in: TLS, ACL users, Unix sockets, RESP3, Sentinel.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "the figures are part of what the test shows")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pie::prelude::*;
use pie::{ErrorKind, Memory, RedisConfig, Source};
use pie_tests::history::History;
use pie_tests::log::Log;
use pie_tests::redis_server::{self, RedisServer, free_port};
use pie_tests::until;

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m", jitter = "0s")]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
}

/// Builds an engine on this Redis, and sees that it is used: by reads, writes, messages and locks.
async fn works(config: impl Fn() -> RedisConfig) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let engine = async || {
        let config = config().budget(Duration::from_secs(10)).connect_timeout(Duration::from_secs(20));
        let engine = Engine::builder()
            .database(format!("sqlite://{}", file.path().display()))
            .memory(Memory::default())
            .redis(config)
            .require_redis()
            .build()
            .await
            .expect("connects");
        engine.create_tables::<(User,)>().await.expect("creates");
        engine
    };
    let (a, b) = (engine().await, engine().await);
    User::insert(&a, NewUser { name: "Ann".into() }).await.expect("inserts");
    for (engine, source) in [(&a, Source::Database), (&b, Source::Redis), (&b, Source::Memory)] {
        let row = User::find_by_id(engine, 1).required().await.expect("reads");
        assert_eq!((row.source(), row.name.as_str()), (source, "Ann"));
        engine.cache().flush().await;
    }
    User::update_by_id(&a, 1).name("Eve").await.expect("writes");
    until("the other one hears of it", async || {
        User::find_by_id(&b, 1).required().await.expect("reads").name == "Eve"
    })
    .await;
    let locked = User::find_by_id(&a, 2).lock(true).await.expect("reads");
    assert!(locked.is_none());
    b.cache().delete_by_pattern("user:*").await.expect("deletes");
    until("all is well", async || a.health().is_ok() && b.health().is_ok()).await;
    a.close().await;
    b.close().await;
}

/// Waits until something answers PING.
async fn answers(url: &str) {
    until("the server answers", async || {
        let client = redis::Client::open(url).expect("a url");
        match client.get_multiplexed_async_connection().await {
            Ok(mut connection) => redis::cmd("PING").query_async::<()>(&mut connection).await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
}

#[tokio::test]
async fn a_unix_socket() {
    let _log = Log::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("redis.sock");
    let path = socket.to_str().expect("text");
    let Some(_server) = RedisServer::start_on(free_port().expect("a port"), &["--unixsocket", path]) else {
        return;
    };
    let url = format!("unix://{path}?db=3");
    answers(&url).await;
    works(|| RedisConfig::new(&url)).await;
}

#[tokio::test]
async fn a_user_of_its_own_with_the_rights_that_the_docs_name() {
    let log = Log::start().await;
    let Some(server) = RedisServer::start() else { return };
    let url = format!("redis://127.0.0.1:{}", server.port());
    answers(&url).await;
    let client = redis::Client::open(url).expect("a url");
    let mut direct = client.get_multiplexed_async_connection().await.expect("connects");
    // As `docs/operations.md` has it.
    let rights = [
        "+get",
        "+mget",
        "+getrange",
        "+set",
        "+unlink",
        "+pexpire",
        "+pttl",
        "+del",
        "+publish",
        "+subscribe",
        "+scan",
        "+eval",
        "+info",
        "+role",
        "+ping",
        "+hello",
        "+select",
    ];
    redis::cmd("ACL")
        .arg(&["SETUSER", "app", "on", ">hunter2", "~pie:*", "&pie:*", "-@all"])
        .arg(&rights)
        .query_async::<()>(&mut direct)
        .await
        .expect("is set");
    let address = format!("127.0.0.1:{}", server.port());
    works(|| RedisConfig::new(&address).username("app").password("hunter2")).await;
    works(|| RedisConfig::new(&address).username("app").password("hunter2").resp3(true)).await;
    let said = log.events().join("\n");
    assert!(!said.contains("may not"), "{said}");
    assert!(!said.contains("hunter2"));
}

fn openssl(folder: &Path, words: &[&str]) {
    let status = Command::new("openssl")
        .args(words)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("scripts/test installs openssl");
    assert!(status.success(), "openssl {words:?}");
}

#[tokio::test]
async fn tls_with_an_authority_and_certificates_of_its_own() {
    let _log = Log::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let new = |words: &[&str]| openssl(at, &[&["req", "-x509"], &key[..], words].concat());
    new(&["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=an authority"]);
    for name in ["server", "client"] {
        let signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=CA:FALSE"];
        let (key, out, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
        let this =
            ["-keyout", &key, "-out", &out, "-subj", &subject, "-addext", "subjectAltName=DNS:localhost"];
        new(&[&signed[..], &this].concat());
    }
    let path = |name: &str| at.join(name).to_str().expect("text").to_owned();
    let port = free_port().expect("a port");
    let tls = [
        ("--tls-port", port.to_string()),
        ("--tls-cert-file", path("server.pem")),
        ("--tls-key-file", path("server.key")),
        ("--tls-ca-cert-file", path("ca.pem")),
        ("--tls-auth-clients", "yes".to_owned()),
    ];
    let arguments: Vec<&str> = tls.iter().flat_map(|(name, value)| [*name, value.as_str()]).collect();
    let Some(server) = RedisServer::start_on(free_port().expect("a port"), &arguments) else { return };
    answers(&format!("redis://127.0.0.1:{}", server.port())).await;

    let config = || {
        RedisConfig::new(format!("rediss://localhost:{port}"))
            .tls_ca(path("ca.pem"))
            .tls_client(path("client.pem"), path("client.key"))
    };
    works(config).await;
    // PEM itself, and an address without a scheme.
    let text = |name: &str| std::fs::read_to_string(at.join(name)).expect("reads");
    works(|| {
        RedisConfig::new(format!("localhost:{port}"))
            .tls(true)
            .tls_ca(text("ca.pem"))
            .tls_client(text("client.pem"), text("client.key"))
    })
    .await;
    // Nobody is trusted whom the authority did not sign, on either side.
    for config in [
        RedisConfig::new(format!("rediss://localhost:{port}")),
        RedisConfig::new(format!("rediss://localhost:{port}")).tls_ca(path("ca.pem")),
        config().tls_ca(path("client.pem")),
    ] {
        let build = Engine::builder().database("sqlite::memory:").redis(config).require_redis().build();
        assert_eq!(build.await.expect_err("is not trusted").kind(), ErrorKind::Connection);
    }
}

/// A server that is ended when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Three sentinels that watch a master with two replicas.
struct Trio {
    servers: Vec<RedisServer>,
    _sentinels: Vec<Process>,
    ports: Vec<u16>,
    _folder: tempfile::TempDir,
}

impl Trio {
    async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut servers = vec![RedisServer::start_on(free_port()?, &["--repl-diskless-sync-delay", "0"])?];
        let master = servers[0].port().to_string();
        answers(&format!("redis://127.0.0.1:{master}")).await;
        for _ in 0..2 {
            let port = free_port()?;
            servers.push(RedisServer::start_on(
                port,
                &["--replicaof", "127.0.0.1", &master, "--repl-diskless-sync-delay", "0"],
            )?);
        }
        let (mut sentinels, mut ports) = (Vec::new(), Vec::new());
        for i in 0..3 {
            let port = free_port()?;
            let file = folder.path().join(format!("{i}.conf"));
            let text = format!(
                "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor mymaster 127.0.0.1 {master} 2\n\
                 sentinel down-after-milliseconds mymaster 1500\nsentinel failover-timeout mymaster 5000\n",
                folder.path().display()
            );
            std::fs::write(&file, text).expect("writes");
            let child = Command::new(redis_server::program())
                .arg(&file)
                .arg("--sentinel")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("starts");
            sentinels.push(Process(child));
            ports.push(port);
        }
        let trio = Self { servers, _sentinels: sentinels, ports, _folder: folder };
        until("the sentinels know each other and the replicas", async || {
            for port in &trio.ports {
                let Some(facts) = trio.facts(*port).await else { return false };
                if !facts.contains("num-slaves 2") || !facts.contains("num-other-sentinels 2") {
                    return false;
                }
            }
            true
        })
        .await;
        Some(trio)
    }

    /// What a sentinel knows, as words.
    async fn facts(&self, port: u16) -> Option<String> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).expect("a url");
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        let mut ask = redis::cmd("SENTINEL");
        let facts: Vec<String> = ask.arg("MASTER").arg("mymaster").query_async(&mut connection).await.ok()?;
        Some(facts.join(" "))
    }

    /// A fact that the first sentinel knows.
    async fn fact(&self, name: &str) -> u64 {
        let mut found = None;
        until("a sentinel knows it", async || {
            let facts = self.facts(self.ports[0]).await.unwrap_or_default();
            let mut words = facts.split(' ');
            found = words
                .find(|word| *word == name)
                .and_then(|_| words.next())
                .and_then(|fact| fact.parse().ok());
            found.is_some()
        })
        .await;
        found.unwrap_or(0)
    }

    /// The port of the master.
    async fn master(&self) -> u16 {
        u16::try_from(self.fact("port").await).expect("a port")
    }

    /// How often another server became the master.
    async fn failovers(&self) -> u64 {
        self.fact("config-epoch").await
    }

    /// Ends the master, and waits until there is another.
    async fn fail_over(&mut self) {
        let before = self.master().await;
        for server in &mut self.servers {
            if server.port() == before {
                server.kill();
            }
        }
        let trio = &*self;
        until("there is another master", async || trio.master().await != before).await;
    }

    fn shape(&self) -> String {
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        format!("sentinel:mymaster:{}", ports.join(","))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_lead_to_the_master_also_after_a_failover_under_load() {
    let Some(mut trio) = Trio::start().await else { return };
    works(|| pie_tests::history::config(&trio.shape())).await;
    let mut history = History::start(&[env!("CARGO_BIN_EXE_worker")], &trio.shape(), 100_000).await;
    history.everyone_reads_from_redis().await;
    trio.fail_over().await;
    history.everyone_reads_from_redis().await;
    history.end();
    match trio.failovers().await {
        1 => history.check(),
        // On a machine that is too busy the sentinels take another one for gone. Then there are two masters for a moment.
        many => {
            eprintln!("there were {many} failovers");
            history.check_own();
        }
    }
    works(|| pie_tests::history::config(&trio.shape())).await;
}

#[tokio::test]
async fn a_name_that_no_sentinel_knows_is_said() {
    let _log = Log::start().await;
    let Some(trio) = Trio::start().await else { return };
    let config = RedisConfig::sentinel("another", [format!("127.0.0.1:{}", trio.ports[0])]);
    let build = Engine::builder().database("sqlite::memory:").redis(config).require_redis().build();
    let error = build.await.expect_err("is not known");
    assert!(error.to_string().contains("no master of that name"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_versions_of_a_program_share_a_redis_and_both_keep_their_hits() {
    let Some(server) = RedisServer::start() else { return };
    answers(&format!("redis://127.0.0.1:{}", server.port())).await;
    let programs = [env!("CARGO_BIN_EXE_worker"), env!("CARGO_BIN_EXE_newer_worker")];
    // Each keeps values in its own shape; what either writes ends both. The history has no decode errors, and nothing old.
    History::start(&programs, &format!("127.0.0.1:{}", server.port()), 60_000).await.check();
}
