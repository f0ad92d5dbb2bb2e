//! The lock of a load across processes.

use std::time::Duration;

use redis::Value;
use tokio::sync::watch;

use super::protocol::{Protocol, all_done, lock, random_token, unlink};
use super::wire::{Wire, garbled, refused};
use crate::cache::{Key, Lock};
use crate::codec::Token;
use crate::error::Result;
use crate::task;

/// Gives a lock back if it is still the caller's, and wakes who waits for it.
const UNLOCK: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) \
                      redis.call('PUBLISH', ARGV[2], KEYS[1]) return 1 end return 0";

impl<W: Wire> Protocol<W> {
    /// Takes a lock, or tells how to wait for it.
    ///
    /// # Errors
    /// Redis could not be reached.
    pub(crate) async fn lock(&self, key: &Key, lease: u64) -> Result<Lock> {
        let name = self.lock_key(key);
        // Before asking: who gives it back meanwhile is heard.
        let mut released = self.wait_for(&name);
        let token = random_token();
        let mut pipe = redis::pipe();
        pipe.cmd("SET").arg(&name).arg(&token[..]).arg("NX").arg("PX").arg(lease.max(1));
        pipe.cmd("PTTL").arg(&name);
        match &self.wire.run(pipe, self.wire.deadline()).await?[..] {
            [Value::ServerError(refusal), _] | [_, Value::ServerError(refusal)] => {
                Err(refused(refusal.code()))
            }
            [Value::Nil, Value::Int(-1)] => {
                // Something without an end, which no lock is: another's, and nobody would ever get it.
                let mut pipe = redis::pipe();
                unlink(&mut pipe, [&name]);
                self.wire.run(pipe, self.wire.deadline()).await?;
                Ok(Lock::Held(Box::pin(std::future::ready(()))))
            }
            [Value::Nil, Value::Int(left)] => {
                let left = Duration::from_millis(u64::try_from(*left).unwrap_or(0));
                Ok(Lock::Held(Box::pin(async move {
                    // Until it is given back, or its lease is over because its holder died.
                    task::timeout(left, released.changed()).await;
                })))
            }
            [_, _] => Ok(Lock::Acquired(token)),
            _ => Err(garbled()),
        }
    }

    fn lock_key(&self, key: &Key) -> String {
        format!("{}~l", self.wire.layout().key(key))
    }

    fn wait_for(&self, name: &str) -> watch::Receiver<()> {
        let mut waiting = lock(&self.waiting);
        if waiting.len() > 1_000 {
            waiting.retain(|_, sender| sender.receiver_count() > 0);
        }
        waiting.entry(name.to_owned()).or_insert_with(|| watch::Sender::new(())).subscribe()
    }

    /// Wakes who waits in this process for a lock that was given back.
    pub(super) fn released(&self, name: &[u8]) {
        let Ok(name) = std::str::from_utf8(name) else { return };
        if let Some(sender) = lock(&self.waiting).remove(name) {
            sender.send_replace(());
        }
    }

    /// Gives a lock back.
    ///
    /// # Errors
    /// Redis could not be reached, or allows no scripts; the lock ends with its lease.
    pub(crate) async fn unlock(&self, key: &Key, token: Token) -> Result<()> {
        let mut pipe = redis::pipe();
        pipe.cmd("EVAL").arg(UNLOCK).arg(1).arg(self.lock_key(key)).arg(&token[..]).arg(self.lock_channel());
        all_done(&self.wire.run(pipe, self.wire.deadline()).await?)
    }
}
