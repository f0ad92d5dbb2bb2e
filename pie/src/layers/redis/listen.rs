//! The listener: one connection for what other processes invalidate, with a heartbeat that proves it is heard.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::address::Address;
use super::protocol::Protocol;
use super::servers::Servers;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How many heartbeats without an echo mean that messages may be missed.
const MISSED_BEATS: u32 = 3;

/// How a listener reaches Redis.
pub(super) struct Listener {
    pub(super) address: Address,
    pub(super) connect_timeout: Duration,
    pub(super) heartbeat: Duration,
    pub(super) closed: watch::Receiver<bool>,
}

impl Listener {
    /// Subscribes, listens, and does so again whenever the connection is lost, until closed or nobody holds the layer.
    pub(super) async fn run(mut self, protocol: Weak<Protocol<Servers>>) {
        let mut pause = FIRST_PAUSE;
        // Whether it was said that the user may not subscribe. That the server is gone is said by those who ask it.
        let mut said = false;
        loop {
            let Some(alive) = protocol.upgrade() else { return };
            if *self.closed.borrow() || alive.inbox().is_none_or(|inbox| !inbox.is_open()) {
                return;
            }
            let subscribed = tokio::time::timeout(self.connect_timeout, self.subscribe(&alive)).await;
            if let Ok(Err(Some(code))) = &subscribed
                && code == "NOPERM"
                && !std::mem::replace(&mut said, true)
            {
                tracing::warn!(
                    "the Redis user may not SUBSCRIBE: what other processes write is seen here when the ttl of a value in \
                     memory is over"
                );
            }
            if let Ok(Ok((sink, stream))) = subscribed {
                // Only now, that it is confirmed: what was missed before counts as everything.
                alive.subscribed();
                let weak = Arc::downgrade(&alive);
                drop(alive);
                let begun = Instant::now();
                self.listen(&weak, sink, stream).await;
                let Some(alive) = weak.upgrade() else { return };
                alive.unsubscribed();
                if begun.elapsed() > self.heartbeat {
                    pause = FIRST_PAUSE;
                }
            } else {
                drop(alive);
            }
            tokio::select! {
                () = tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)) => {}
                _ = self.closed.wait_for(|closed| *closed) => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Subscribes; fails with the code of Redis' refusal, if it was one.
    async fn subscribe(
        &self,
        protocol: &Protocol<Servers>,
    ) -> Result<(PubSubSink, PubSubStream), Option<String>> {
        let code = |error: redis::RedisError| error.code().map(str::to_owned);
        let client = self.address.client().await.map_err(|_| None)?;
        let mut connection = client.get_async_pubsub().await.map_err(code)?;
        for channel in [protocol.channel(), protocol.lock_channel(), protocol.own_channel()] {
            connection.subscribe(channel).await.map_err(code)?;
        }
        Ok(connection.split())
    }

    /// Hears until the connection is lost or does not echo any more. The sink is kept: without it the connection ends.
    async fn listen(
        &mut self,
        protocol: &Weak<Protocol<Servers>>,
        sink: PubSubSink,
        mut stream: PubSubStream,
    ) {
        let mut beats = interval(self.heartbeat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut number, mut awaited): (u64, Option<Instant>) = (0, None);
        loop {
            tokio::select! {
                message = stream.next() => {
                    let (Some(message), Some(protocol)) = (message, protocol.upgrade()) else { break };
                    let channel = message.get_channel_name();
                    let bytes = message.get_payload_bytes();
                    if channel == protocol.channel() {
                        protocol.receive(bytes);
                    } else if channel == protocol.lock_channel() {
                        protocol.released(bytes);
                    } else {
                        // Of beats that waited for their turn on the way, the first is enough.
                        if let (Some(sent), Some(inbox)) = (awaited.take(), protocol.inbox()) {
                            inbox.lag(sent.elapsed());
                        }
                        protocol.echoed();
                    }
                }
                _ = beats.tick() => {
                    let Some(protocol) = protocol.upgrade() else { break };
                    if protocol.inbox().is_none_or(|inbox| !inbox.is_open()) {
                        break;
                    }
                    match awaited {
                        Some(sent) if sent.elapsed() > self.heartbeat * MISSED_BEATS => {
                            tracing::debug!("the heartbeat of the message connection does not come back");
                            break;
                        }
                        Some(_) => {}
                        None => awaited = Some(Instant::now()),
                    }
                    number += 1;
                    // Not waited for here: a slow server must not keep messages from being heard. Its failure shows in the
                    // missing echo.
                    tokio::spawn(async move { protocol.beat(number).await });
                }
                _ = self.closed.wait_for(|closed| *closed) => break,
            }
        }
        drop(sink);
    }
}
