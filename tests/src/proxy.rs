//! A proxy in front of a server that counts round trips: how often the client began to send after the server had answered. It can
//! also keep answers back, slow them down, cut them short or replace them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to answers on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Answers {
    /// They pass.
    #[default]
    Pass,
    /// They are kept until something else is said.
    Hold,
    /// Each takes this much longer.
    Late(Duration),
    /// Half of each passes, then the connection is cut.
    Half,
    /// Something else comes instead.
    Garbage,
}

#[derive(Debug, Default)]
struct Counts {
    trips: AtomicU64,
    bytes: AtomicU64,
}

/// A proxy on a port of its own.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    server: Arc<AtomicU16>,
    counts: Arc<Counts>,
    /// Counted up to cut every connection; odd while none is taken.
    cuts: Arc<watch::Sender<u64>>,
    answers: Arc<watch::Sender<Answers>>,
}

impl Proxy {
    /// A proxy in front of a server on this port of this machine.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(server: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (counts, cuts) = (Arc::<Counts>::default(), Arc::new(watch::Sender::new(0)));
        let answers = Arc::new(watch::Sender::new(Answers::Pass));
        let server = Arc::new(AtomicU16::new(server));
        let target = Arc::clone(&server);
        let (counter, watched, way) = (Arc::clone(&counts), Arc::clone(&cuts), Arc::clone(&answers));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut watcher = watched.subscribe();
                if *watcher.borrow_and_update() % 2 == 1 {
                    continue;
                }
                let (counter, way) = (Arc::clone(&counter), way.subscribe());
                let server = target.load(Ordering::SeqCst);
                tokio::spawn(async move {
                    tokio::select! {
                        _ = pass(client, server, counter, way) => {}
                        _ = watcher.changed() => {}
                    }
                });
            }
        });
        Ok(Self { port, server, counts, cuts, answers })
    }

    /// Cuts every connection, and takes no other: as if the server had gone.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1 + *cuts % 2);
    }

    /// Takes connections again.
    pub fn mend(&self) {
        self.cuts.send_modify(|cuts| *cuts += *cuts % 2);
    }

    /// Leads to another server from now on: cuts every connection, and takes new ones.
    pub fn lead_to(&self, server: u16) {
        self.cut();
        self.server.store(server, Ordering::SeqCst);
        self.mend();
    }

    /// Keeps back what the server answers, until it is told otherwise.
    pub fn hold(&self, held: bool) {
        self.answers(if held { Answers::Hold } else { Answers::Pass });
    }

    /// Says what happens to answers from now on.
    pub fn answers(&self, way: Answers) {
        self.answers.send_replace(way);
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The round trips since the last call of [`trips`](Self::trips).
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.counts.trips.load(Ordering::SeqCst)
    }

    /// The round trips since the last call.
    pub fn trips(&self) -> u64 {
        self.counts.trips.swap(0, Ordering::SeqCst)
    }

    /// The bytes that the server answered since the last call.
    pub fn bytes(&self) -> u64 {
        self.counts.bytes.swap(0, Ordering::SeqCst)
    }
}

async fn pass(
    client: TcpStream,
    server: u16,
    counts: Arc<Counts>,
    mut way: watch::Receiver<Answers>,
) -> std::io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server)).await?;
    // A pipeline in two writes would wait for the other side's acknowledgement between them.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answered = Arc::new(AtomicBool::new(true));
    let (flag, counter) = (Arc::clone(&answered), Arc::clone(&counts));
    // Ends with this future, and with it the connection.
    let back = async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count) = from_server.read(&mut buffer).await {
            flag.store(true, Ordering::SeqCst);
            counter.bytes.fetch_add(count as u64, Ordering::SeqCst);
            let now = *way.borrow();
            if let Answers::Late(by) = now {
                tokio::time::sleep(by).await;
            }
            let Ok(way) = way.wait_for(|way| *way != Answers::Hold).await.map(|way| *way) else { break };
            let sent = match way {
                _ if count == 0 => break,
                Answers::Half => {
                    // The client may be gone first.
                    let _ = to_client.write_all(&buffer[..count / 2]).await;
                    break;
                }
                Answers::Garbage => {
                    to_client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n\0\xff*9\r\n").await
                }
                _ => to_client.write_all(&buffer[..count]).await,
            };
            if sent.is_err() {
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
                counts.trips.fetch_add(1, Ordering::SeqCst);
            }
            to_server.write_all(&buffer[..count]).await?;
        }
    };
    tokio::select! {
        () = back => Ok(()),
        done = there => done,
    }
}
