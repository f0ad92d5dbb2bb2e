//! What carries commands to Redis, and what its refusals mean.

use std::future::Future;

use redis::{Cmd, Pipeline, ServerError, Value};

use super::layout::Layout;
use super::server::Unmarked;
use crate::error::{Error, ErrorKind, Result};

/// When a lookup has waited for Redis long enough.
pub(crate) type Deadline = tokio::time::Instant;

/// Carries pipelines to Redis.
pub(crate) trait Wire: Send + Sync + 'static {
    /// Runs a pipeline in one network wait; one answer for each command, refusals of single commands among them.
    ///
    /// # Errors
    /// There is no connection, it was lost, or it was late; or the server refused in a way that makes it useless for now.
    fn run(&self, pipe: Pipeline, by: Deadline) -> impl Future<Output = Result<Vec<Value>>> + Send;

    /// The end of the time budget of a lookup that begins now.
    fn deadline(&self) -> Deadline;

    /// Whether the commands of a pipeline run one after the other, in order: so on a single server, not on a cluster.
    fn in_order(&self) -> bool {
        true
    }

    /// How names are laid out.
    fn layout(&self) -> Layout {
        Layout::Single
    }

    /// How many servers share the keys among them.
    fn shards(&self) -> usize {
        1
    }

    /// Runs a pipeline on one of the shards, whatever its keys.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn run_on(
        &self,
        shard: usize,
        pipe: Pipeline,
        by: Deadline,
    ) -> impl Future<Output = Result<Vec<Value>>> + Send {
        let _ = shard;
        self.run(pipe, by)
    }

    /// The servers that may have forgotten what was removed, and are marked when the namespace was invalidated.
    fn unmarked(&self) -> Vec<Unmarked> {
        Vec::new()
    }

    /// Marks them.
    fn mark(&self, due: Vec<Unmarked>, by: Deadline) -> impl Future<Output = ()> + Send {
        let _ = (due, by);
        std::future::ready(())
    }

    /// The server said what no server says: nothing more is asked before it was checked.
    fn distrust(&self, why: &Error) {
        let _ = why;
    }
}

/// What a refusal of one command means for the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This command alone cannot be done; the others can.
    One,
    /// The server takes no new values, because its memory is full.
    Full,
    /// The server cannot be used as it is: it loads, is a replica, runs a script, does not know the password any more.
    Useless,
}

/// The code of what no shard could answer.
const UNREACHABLE: &str = "UNREACHABLE";

/// The answer to a command whose shard cannot be used.
pub(super) fn unreachable_answer() -> Value {
    redis::parse_redis_value(b"-UNREACHABLE no shard has it\r\n").unwrap_or(Value::Nil)
}

/// The commands that nothing works without.
const NEEDED: [&[u8]; 5] = [b"MGET", b"GET", b"GETRANGE", b"SET", b"UNLINK"];

fn name(command: &Cmd) -> &[u8] {
    match command.args_iter().next() {
        Some(redis::Arg::Simple(name)) => name,
        _ => b"",
    }
}

/// What it means that a command was refused.
pub(super) fn verdict(command: Option<&Cmd>, refusal: &ServerError, clustered: bool) -> Verdict {
    match refusal.code() {
        "MOVED" | "ASK" | "TRYAGAIN" | UNREACHABLE if clustered => Verdict::One,
        "OOM" => Verdict::Full,
        "WRONGTYPE" => Verdict::One,
        "NOPERM" if command.is_some_and(|command| !NEEDED.contains(&name(command))) => Verdict::One,
        _ => Verdict::Useless,
    }
}

/// The first answer of a pipeline that makes the server useless.
pub(super) fn useless<'v>(pipe: &Pipeline, answers: &'v [Value], clustered: bool) -> Option<&'v ServerError> {
    // Nearly always there is none: then nothing else is looked at.
    if !answers.iter().any(|answer| matches!(answer, Value::ServerError(_))) {
        return None;
    }
    answers.iter().zip(pipe.cmd_iter()).find_map(|(answer, command)| match answer {
        Value::ServerError(refusal) if verdict(Some(command), refusal, clustered) == Verdict::Useless => {
            Some(refusal)
        }
        _ => None,
    })
}

/// Whether one of the answers says that the server is full.
pub(super) fn is_full(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(refusal) if verdict(None, refusal, false) == Verdict::Full)
}

/// Whether a command met a key of another type than pie's.
pub(super) fn is_foreign(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(refusal) if refusal.code() == "WRONGTYPE")
}

/// The error of a refusal, by its code: its detail may quote a command.
pub(super) fn refused(code: &str) -> Error {
    let code: String = code.chars().filter(char::is_ascii_alphanumeric).take(24).collect();
    Error::new(ErrorKind::Layer, format!("Redis refused a command: {code}{}", advice(&code)))
}

/// What to do about a refusal that does not pass by itself.
fn advice(code: &str) -> &'static str {
    match code {
        "NOAUTH" | "WRONGPASS" => " (check user name and password)",
        "NOPERM" => {
            " (its user needs GET, MGET, GETRANGE, SET, UNLINK, PEXPIRE, PUBLISH, SUBSCRIBE, SCAN, EVAL and INFO)"
        }
        "READONLY" => " (this server is a replica: give the address of the master, or use Sentinel)",
        "MOVED" | "CROSSSLOT" | "ASK" | "CLUSTERDOWN" => {
            " (this server is part of a cluster: use `RedisConfig::cluster`)"
        }
        _ => "",
    }
}

/// The error of a call that never came to an answer.
pub(super) fn failed(error: &redis::RedisError) -> Error {
    match (error.code(), error.kind()) {
        (Some(code), _) => refused(code),
        (None, redis::ErrorKind::AuthenticationFailed) => refused("WRONGPASS"),
        (None, kind) => Error::new(ErrorKind::Layer, format!("the connection to Redis failed: {kind:?}")),
    }
}

pub(super) fn late() -> Error {
    Error::new(ErrorKind::Layer, "Redis did not answer within its time budget")
}

pub(super) fn changed() -> Error {
    Error::new(
        ErrorKind::Layer,
        "an invalidation could not be sent, or another Redis server came, while a value was read",
    )
}

pub(super) fn garbled() -> Error {
    Error::new(ErrorKind::Layer, "Redis answered in another form than asked for; pie needs Redis 7 or newer")
}
