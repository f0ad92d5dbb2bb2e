//! Real Redis servers: the one that `scripts/test` started, and ones that a test may kill.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

/// Where servers of tests listen; those of `scripts/test` are at 26,000 and above.
const FIRST_PORT: u16 = 10_000;
const PORTS: u16 = 6_000;

/// The port of the Redis that all tests share; each uses key prefixes of its own.
///
/// `None`, with a line that says so, where there is none; under `CI=true` that fails the test.
///
/// # Panics
/// There is no Redis, and `CI` is `true`.
#[must_use]
#[allow(clippy::panic, reason = "it fails a test")]
pub fn shared() -> Option<u16> {
    let port = std::env::var("PIE_TEST_REDIS_PORT").ok().and_then(|port| port.parse().ok());
    if port.is_none() {
        missing("PIE_TEST_REDIS_PORT is not set: scripts/test starts a Redis and sets it");
    }
    port
}

#[allow(clippy::panic, clippy::print_stderr, reason = "it fails a test, or says aloud that it did not run")]
fn missing(why: &str) {
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        panic!("{why}");
    }
    eprintln!("NOT RUN: {why}");
}

/// The server that tests start: `redis-server`, or what `PIE_TEST_REDIS_SERVER` names, such as a Valkey.
#[must_use]
pub fn program() -> OsString {
    std::env::var_os("PIE_TEST_REDIS_SERVER").unwrap_or_else(|| "redis-server".into())
}

/// A Redis of one test's own, killed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl RedisServer {
    /// Starts a server on a free port; `None`, with a line that says so, where there is no `redis-server`.
    ///
    /// # Panics
    /// There is no `redis-server`, and `CI` is `true`.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_on(free_port()?, &[])
    }

    /// Starts a server on this port, with more arguments.
    ///
    /// # Panics
    /// There is no `redis-server`, and `CI` is `true`.
    #[must_use]
    pub fn start_on(port: u16, arguments: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().ok()?;
        match Self::spawn(port, folder.path(), arguments) {
            Ok(child) => Some(Self { child, port, folder }),
            Err(_) => {
                missing("redis-server is not on the PATH: scripts/test installs it");
                None
            }
        }
    }

    fn spawn(port: u16, folder: &Path, arguments: &[&str]) -> std::io::Result<Child> {
        Command::new(program())
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
            ])
            .arg(folder)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    }

    /// Ends the server at once, and starts another on the same port from the snapshot that was saved last.
    ///
    /// # Panics
    /// The server does not start any more.
    pub fn restart_from_snapshot(&mut self) {
        self.restart_with(&[]);
    }

    /// Ends the server at once, and starts another on the same port with nothing in it, with these arguments.
    ///
    /// # Panics
    /// The server does not start any more.
    #[allow(clippy::expect_used, reason = "it fails a test")]
    pub fn restart(&mut self, arguments: &[&str]) {
        self.kill();
        // The snapshot that a server saves when it is told to end, if there is one, goes.
        let _ = std::fs::remove_file(self.folder.path().join("dump.rdb"));
        self.child = Self::spawn(self.port, self.folder.path(), arguments).expect("it started before");
    }

    /// Ends the server at once, and starts another on the same port from the snapshot, with these arguments.
    ///
    /// # Panics
    /// The server does not start any more.
    #[allow(clippy::expect_used, reason = "it fails a test")]
    pub fn restart_with(&mut self, arguments: &[&str]) {
        self.kill();
        self.child = Self::spawn(self.port, self.folder.path(), arguments).expect("it started before");
    }

    /// Where the server keeps its files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stops the process where it is, as a machine that swaps or a debugger does; or lets it go on.
    ///
    /// # Panics
    /// There is no `kill`.
    #[allow(clippy::expect_used, reason = "it fails a test")]
    pub fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let id = self.child.id().to_string();
        Command::new("kill").args([signal, &id]).status().expect("there is a `kill`");
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends the server at once.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on, nor on the one 10,000 above, where a cluster has its bus.
///
/// The kernel gives ports from 32,768 on to clients, one of which might have taken it until a server starts there; and no two tests
/// of a program get the same.
#[must_use]
pub fn free_port() -> Option<u16> {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(fastrand::u16(..)));
    (0..PORTS).find_map(|_| {
        let port = FIRST_PORT + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS;
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        (is_free(port) && is_free(port + 10_000)).then_some(port)
    })
}
