//! A Redis cluster of three masters with a replica each, on this machine.

use std::process::{Command, Stdio};

use redis::aio::MultiplexedConnection;

use crate::proxy::Proxy;
use crate::redis_server::{RedisServer, free_port};
use crate::until;

const ARGUMENTS: [&str; 6] =
    ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"];

/// The cluster; its servers are ended when it is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    servers: Vec<RedisServer>,
    /// One in front of each server, if they count; clients are led to them.
    proxies: Vec<Proxy>,
}

/// One server as `CLUSTER NODES` tells.
#[derive(Debug, Clone)]
pub struct Node {
    /// The id.
    pub id: String,
    /// The port.
    pub port: u16,
    /// Whether it is a master in use.
    pub is_master: bool,
    /// Its master's id, or `-`.
    pub master: String,
}

#[allow(clippy::expect_used, reason = "it fails a test")]
fn cli(words: &[&str]) {
    let status = Command::new("redis-cli")
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("scripts/test installs redis-cli");
    assert!(status.success(), "redis-cli {words:?}");
}

impl RedisCluster {
    /// Starts one; `None`, with a line that says so, where there is no `redis-server`.
    ///
    /// # Panics
    /// There is none and `CI` is `true`, or it does not come up.
    pub async fn start() -> Option<Self> {
        Self::start_with(false).await
    }

    /// Starts one whose clients are led to a proxy in front of each server.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn start_counted() -> Option<Self> {
        Self::start_with(true).await
    }

    async fn start_with(counted: bool) -> Option<Self> {
        let (mut servers, mut proxies) = (Vec::new(), Vec::new());
        while servers.len() < 6 {
            let port = free_port()?;
            let mut arguments = ARGUMENTS.to_vec();
            let announced;
            if counted {
                let proxy = Proxy::start(port).await.ok()?;
                announced = proxy.port().to_string();
                arguments.extend(["--cluster-announce-port", &announced]);
                proxies.push(proxy);
            }
            servers.push(RedisServer::start_on(port, &arguments)?);
        }
        let cluster = Self { servers, proxies };
        for server in &cluster.servers {
            until("each server answers", async || Self::ask(server.port(), &["PING"]).await.is_some()).await;
        }
        let addresses: Vec<String> = cluster.ports().iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let mut words = vec!["--cluster", "create"];
        words.extend(addresses.iter().map(String::as_str));
        words.extend(["--cluster-replicas", "1", "--cluster-yes"]);
        cli(&words);
        cluster.settled().await;
        Some(cluster)
    }

    /// Waits until every server that runs says that the cluster is whole, with three masters, each with a replica that follows.
    pub async fn settled(&self) {
        until("the cluster is whole", async || {
            for port in self.ports() {
                let Some(info) = Self::ask(port, &["CLUSTER", "INFO"]).await else { continue };
                let replication = Self::ask(port, &["INFO", "replication"]).await.unwrap_or_default();
                if !info.contains("cluster_state:ok") || replication.contains("master_link_status:down") {
                    return false;
                }
            }
            self.nodes().await.iter().filter(|node| node.is_master).count() == 3
        })
        .await;
    }

    /// The ports of all servers.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        self.servers.iter().map(RedisServer::port).collect()
    }

    /// The proxies in front of the servers, of a cluster that counts.
    #[must_use]
    pub fn proxies(&self) -> &[Proxy] {
        &self.proxies
    }

    /// How processes of the history test reach it.
    #[must_use]
    pub fn shape(&self) -> String {
        let ports: Vec<String> = self.ports().iter().map(u16::to_string).collect();
        format!("cluster:{}", ports.join(","))
    }

    /// A connection to one server; `None` where it does not answer.
    pub async fn connect(port: u16) -> Option<MultiplexedConnection> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).ok()?;
        client.get_multiplexed_async_connection().await.ok()
    }

    async fn ask(port: u16, words: &[&str]) -> Option<String> {
        let mut connection = Self::connect(port).await?;
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await.ok()
    }

    /// The servers, as the first one tells that answers.
    pub async fn nodes(&self) -> Vec<Node> {
        let mut nodes = Vec::new();
        until("a server answers", async || {
            nodes = self.told_nodes().await;
            !nodes.is_empty()
        })
        .await;
        nodes
    }

    async fn told_nodes(&self) -> Vec<Node> {
        for port in self.ports() {
            let Some(text) = Self::ask(port, &["CLUSTER", "NODES"]).await else { continue };
            let node = |line: &str| {
                let words: Vec<&str> = line.split(' ').collect();
                let [id, address, flags, master, ..] = words[..] else { return None };
                let port = address.split('@').next()?.rsplit(':').next()?.parse().ok()?;
                let is = |flag| flags.split(',').any(|known| known == flag);
                let is_master = is("master") && !is("fail") && !is("fail?");
                Some(Node { id: id.to_owned(), port, is_master, master: master.to_owned() })
            };
            return text.lines().filter_map(node).collect();
        }
        Vec::new()
    }

    /// Ends a master at once, and waits until a replica has taken its place. Gives the port of the one that ended.
    ///
    /// # Panics
    /// There is no master.
    #[allow(clippy::expect_used, reason = "it fails a test")]
    pub async fn fail_over(&mut self) -> u16 {
        let masters: Vec<Node> = self.nodes().await.into_iter().filter(|node| node.is_master).collect();
        let lost = masters.first().expect("there is one").clone();
        self.kill(lost.port);
        let cluster = &*self;
        until("another took its place", async || {
            cluster
                .nodes()
                .await
                .iter()
                .any(|node| node.is_master && !masters.iter().any(|before| before.id == node.id))
        })
        .await;
        self.settled().await;
        lost.port
    }

    /// Ends the server on a port at once.
    pub fn kill(&mut self, port: u16) {
        self.servers.iter_mut().filter(|server| server.port() == port).for_each(RedisServer::kill);
    }

    /// Ends a server at once, and starts it again from what it saved last.
    pub async fn restart_from_snapshot(&mut self, port: u16) {
        for server in self.servers.iter_mut().filter(|server| server.port() == port) {
            server.restart_with(&ARGUMENTS);
        }
        self.settled().await;
    }

    /// Says the same to every server.
    ///
    /// # Panics
    /// One of them refuses.
    #[allow(clippy::expect_used, reason = "it fails a test")]
    pub async fn tell_all(&self, words: &[&str]) {
        for port in self.ports() {
            if let Some(mut connection) = Self::connect(port).await {
                let told = redis::cmd(words[0]).arg(&words[1..]).query_async::<()>(&mut connection).await;
                told.expect("does as it is told");
            }
        }
    }

    /// Moves slots from one master to another.
    ///
    /// # Panics
    /// There are fewer than two.
    #[allow(clippy::expect_used, reason = "it fails a test")]
    pub async fn reshard(&self, slots: u16) {
        let masters: Vec<Node> = self.nodes().await.into_iter().filter(|node| node.is_master).collect();
        let [from, to, ..] = &masters[..] else { return };
        let (address, from, to, slots) =
            (format!("127.0.0.1:{}", from.port), from.id.clone(), to.id.clone(), slots.to_string());
        let work = move || {
            let who =
                ["--cluster-from", &from, "--cluster-to", &to, "--cluster-slots", &slots, "--cluster-yes"];
            cli(&[&["--cluster", "reshard", &address], &who[..]].concat());
        };
        tokio::task::spawn_blocking(work).await.expect("moves");
    }
}
