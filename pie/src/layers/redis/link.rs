//! One connection that comes back by itself.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use tokio::sync::watch;

use super::RedisConfig;
use super::protocol::trust;
use crate::error::{Error, ErrorKind, Result};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[derive(Clone)]
enum State {
    /// Nobody has asked yet.
    Idle,
    /// The first attempt is under way: callers wait for it.
    First,
    /// Usable. The number tells this connection from the ones before it.
    Up(MultiplexedConnection, u64),
    /// Lost, or never there; a task tries again and again. Callers do not wait.
    Down,
    /// The engine was closed.
    Closed,
}

/// A multiplexed connection to one server, made at the first use, made again whenever it is lost.
pub(super) struct Link {
    client: Client,
    connect_timeout: Duration,
    state: watch::Sender<State>,
    count: AtomicU64,
    /// What all names of the engine begin with.
    prefix: OnceLock<Box<str>>,
    /// Whether the trouble that is going on was said in the log already.
    said: AtomicBool,
}

fn down() -> Error {
    Error::new(ErrorKind::Layer, "Redis is not reachable; connecting goes on in the background")
}

impl Link {
    pub(super) fn new(client: Client, config: &RedisConfig) -> Arc<Self> {
        Arc::new(Self {
            client,
            connect_timeout: config.connect_timeout,
            state: watch::Sender::new(State::Idle),
            count: AtomicU64::new(0),
            prefix: OnceLock::new(),
            said: AtomicBool::new(false),
        })
    }

    pub(super) fn set_prefix(&self, prefix: &str) {
        // The first engine's counts; a layer belongs to one.
        let _ = self.prefix.set(prefix.into());
    }

    /// The connection, at once; waits only while the very first attempt is under way.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<(MultiplexedConnection, u64)> {
        let state = self.state.borrow().clone();
        match state {
            State::Up(connection, id) => Ok((connection, id)),
            State::Idle | State::First => self.first().await,
            State::Down | State::Closed => Err(down()),
        }
    }

    /// Connects unless that was done already, and waits for the outcome of the first attempt.
    pub(super) async fn first(self: &Arc<Self>) -> Result<(MultiplexedConnection, u64)> {
        let begun = self.state.send_if_modified(|state| {
            let idle = matches!(state, State::Idle);
            if idle {
                *state = State::First;
            }
            idle
        });
        if begun {
            self.keep_trying();
        }
        let mut watcher = self.state.subscribe();
        let outcome = watcher.wait_for(|state| !matches!(state, State::Idle | State::First)).await;
        match outcome.as_deref() {
            Ok(State::Up(connection, id)) => Ok((connection.clone(), *id)),
            _ => Err(Error::new(ErrorKind::Connection, "Redis is not reachable")),
        }
    }

    /// Waits until there is a connection, or will never be one.
    pub(super) fn up(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut watcher = self.state.subscribe();
        async move {
            let _ = watcher.wait_for(|state| matches!(state, State::Up(..) | State::Closed)).await;
        }
    }

    /// Gives the connection with this number up (any, without a number) and begins to make a new one.
    pub(super) fn lost(self: &Arc<Self>, id: Option<u64>, why: &Error) {
        // The first attempt takes longer than a lookup waits: it goes on, and later lookups do not wait for it.
        let slow = self.state.send_if_modified(|state| {
            let first = id.is_none() && matches!(state, State::First);
            if first {
                *state = State::Down;
            }
            first
        });
        if slow {
            self.say(why);
        }
        let changed = self.state.send_if_modified(|state| {
            let same = matches!(state, State::Up(_, current) if id.is_none_or(|id| id == *current));
            if same {
                *state = State::Down;
            }
            same
        });
        if changed {
            self.say(why);
            self.keep_trying();
        }
    }

    pub(super) fn close(&self) {
        self.state.send_replace(State::Closed);
    }

    fn say(&self, why: &Error) {
        if !self.said.swap(true, Ordering::Relaxed) {
            tracing::warn!(%why, "Redis is not usable: memory and database answer until it is back");
        }
    }

    async fn attempt(client: &Client, limit: Duration, prefix: &str) -> Result<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limit))
            // The budget of each lookup is the limit; two of them would only differ.
            .set_response_timeout(None);
        let work = async {
            let connection = client.get_multiplexed_async_connection_with_config(&config).await;
            let connection = connection.map_err(|error| super::failed(&error))?;
            // A server that accepts and stays silent is no server, and one that was restarted may have forgotten.
            trust(prefix, |pipe| {
                let mut connection = connection.clone();
                async move {
                    let answers = pipe.query_async::<Vec<redis::Value>>(&mut connection).await;
                    answers.map_err(|error| super::failed(&error))
                }
            })
            .await?;
            Ok(connection)
        };
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => Err(super::late()),
        }
    }

    /// Tries until it has a connection, with growing pauses, in a task that ends when the link is dropped or closed.
    fn keep_trying(self: &Arc<Self>) {
        let link = Arc::downgrade(self);
        let (client, limit) = (self.client.clone(), self.connect_timeout);
        let prefix = self.prefix.get().map_or_else(|| "pie:".into(), Clone::clone);
        tokio::spawn(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                let outcome = Self::attempt(&client, limit, &prefix).await;
                let Some(link) = link.upgrade() else { return };
                let next = match outcome {
                    Ok(connection) => State::Up(connection, link.count.fetch_add(1, Ordering::Relaxed)),
                    Err(error) => {
                        link.say(&error);
                        State::Down
                    }
                };
                let done = matches!(next, State::Up(..));
                let mut closed = false;
                link.state.send_if_modified(|state| {
                    closed = matches!(state, State::Closed);
                    if !closed {
                        *state = next;
                    }
                    !closed
                });
                if done || closed {
                    if done && link.said.swap(false, Ordering::Relaxed) {
                        tracing::info!("Redis is usable again");
                    }
                    return;
                }
                drop(link);
                tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
    }
}
