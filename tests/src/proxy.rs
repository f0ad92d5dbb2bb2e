//! A proxy in front of a server that counts round trips: how often the client began to send after the server had answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy on a port of its own.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    trips: Arc<AtomicU64>,
    /// Counted up to cut every connection; odd while none is taken.
    cuts: Arc<watch::Sender<u64>>,
    /// Whether answers are kept back.
    holds: Arc<watch::Sender<bool>>,
}

impl Proxy {
    /// A proxy in front of a server on this port of this machine.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(server: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let trips = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&trips);
        let cuts = Arc::new(watch::Sender::new(0));
        let watched = Arc::clone(&cuts);
        let holds = Arc::new(watch::Sender::new(false));
        let held = Arc::clone(&holds);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut watcher = watched.subscribe();
                if *watcher.borrow_and_update() % 2 == 1 {
                    continue;
                }
                let (counter, held) = (Arc::clone(&counter), held.subscribe());
                tokio::spawn(async move {
                    tokio::select! {
                        _ = pass(client, server, counter, held) => {}
                        _ = watcher.changed() => {}
                    }
                });
            }
        });
        Ok(Self { port, trips, cuts, holds })
    }

    /// Cuts every connection, and takes no other: as if the server had gone.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1 + *cuts % 2);
    }

    /// Takes connections again.
    pub fn mend(&self) {
        self.cuts.send_modify(|cuts| *cuts += *cuts % 2);
    }

    /// Keeps back what the server answers, until it is told otherwise.
    pub fn hold(&self, held: bool) {
        self.holds.send_replace(held);
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The round trips since the last call of [`trips`](Self::trips).
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.trips.load(Ordering::SeqCst)
    }

    /// The round trips since the last call.
    pub fn trips(&self) -> u64 {
        self.trips.swap(0, Ordering::SeqCst)
    }
}

async fn pass(
    client: TcpStream,
    server: u16,
    trips: Arc<AtomicU64>,
    mut held: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server)).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answered = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&answered);
    // Ends with this future, and with it the connection.
    let back = async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count) = from_server.read(&mut buffer).await {
            flag.store(true, Ordering::SeqCst);
            if held.wait_for(|held| !held).await.is_err() {
                break;
            }
            if count == 0 || to_client.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    };
    let there = async move {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = from_client.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            if answered.swap(false, Ordering::SeqCst) {
                trips.fetch_add(1, Ordering::SeqCst);
            }
            to_server.write_all(&buffer[..count]).await?;
        }
    };
    tokio::select! {
        () = back => Ok(()),
        done = there => done,
    }
}
