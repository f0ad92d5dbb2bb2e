//! What a new connection is asked before anything it says is trusted, and what its user may not do.

use std::future::Future;
use std::time::Duration;

use redis::{Pipeline, Value};
use tokio::time::Instant;

use super::wire::{is_foreign, is_full, refused};
use crate::error::{Error, ErrorKind, Result};

/// How long the mark of a server lives when nothing is stored in it, in milliseconds.
const MARK_TTL: u64 = 10_000;

/// What was found out about a server that can be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Checked {
    /// Commands that its user may not run, and that pie can do without.
    pub(super) missing: Vec<&'static str>,
    /// What there is to say about its memory.
    memory: Option<&'static str>,
}

/// What does not work without a command.
fn lacks(command: &str) -> &'static str {
    match command {
        "PUBLISH" => {
            "other processes are not told of writes: they serve what is in their memory up to its ttl"
        }
        "EVAL" => "a lock of a load is not given back, and ends with its lease",
        "SCAN" => "`delete_by_pattern` ends everything in Redis instead of what matches",
        "PEXPIRE" => "tokens are not prolonged, so that values may be lost before their ttl",
        "INFO" => {
            "a restart cannot be told from a lost connection: each new connection ends everything in Redis"
        }
        _ => "",
    }
}

impl Checked {
    /// Says in the log what was not so when the server was checked before.
    pub(super) fn say(&self, server: &str, before: &Self) {
        for command in self.missing.iter().filter(|command| !before.missing.contains(command)) {
            let consequence = lacks(command);
            tracing::warn!(
                server,
                command,
                consequence,
                "the Redis user may not run a command that pie uses"
            );
        }
        if let Some(advice) = self.memory.filter(|_| self.memory != before.memory) {
            tracing::warn!(server, "{advice}");
        }
    }
}

/// The text of an answer, of RESP2 or RESP3.
fn text(answer: Option<&Value>) -> String {
    match answer {
        Some(Value::BulkString(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        Some(Value::VerbatimString { text, .. }) => text.clone(),
        _ => String::new(),
    }
}

fn field<'t>(info: &'t str, name: &str) -> Option<&'t str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Fails for the first refusal, except those that are excused.
fn insist(answers: &[Value], excused: impl Fn(usize, &Value) -> bool) -> Result<()> {
    for (at, answer) in answers.iter().enumerate() {
        if let Value::ServerError(refusal) = answer
            && !excused(at, answer)
        {
            return Err(refused(refusal.code()));
        }
    }
    Ok(())
}

/// Asks which process the server is, and which was marked.
async fn who<F, Fut>(mark: &str, run: &F) -> Result<(Option<String>, Option<Vec<u8>>)>
where
    F: Fn(Pipeline) -> Fut,
    Fut: Future<Output = Result<Vec<Value>>>,
{
    let mut ask = redis::pipe();
    ask.cmd("INFO").arg("server").cmd("GET").arg(mark);
    let mut answers = run(ask).await?;
    // A user that may not ask, and something of another's under the name of the mark: both tell nothing.
    insist(&answers, |at, answer| at == 0 || is_foreign(answer))?;
    let id = field(&text(answers.first()), "run_id").map(str::to_owned);
    let stored = match answers.pop() {
        Some(Value::BulkString(bytes)) => Some(bytes),
        _ => None,
    };
    Ok((id, stored))
}

/// Which process a new connection leads to.
#[derive(Debug)]
pub(crate) struct Met {
    /// Its `run_id`; `None` for one that does not say.
    pub(crate) id: Option<String>,
    /// Whether it is the one that was marked: nothing that was removed from it has come back since.
    pub(crate) marked: bool,
}

/// Which process a server was when it was met last.
///
/// The mark tells of what came back. It cannot tell that this process spoke to another master until now, of which the
/// one that others have long marked never heard.
#[derive(Debug, Clone, Default)]
pub(crate) struct Acquaintance(Option<Option<String>>);

impl Acquaintance {
    /// Meets a process; gives whether what was removed from the last one may still be in this one.
    pub(crate) fn meets(&mut self, id: Option<String>) -> bool {
        let other = self.0.as_ref().is_some_and(|last| last.is_none() || *last != id);
        self.0 = Some(id);
        if mistake!(NoRunCheck) {
            return false;
        }
        other && !mistake!(TrustsMarksOfOthers)
    }
}

/// Asks a new connection which server it leads to, before anything it says is trusted.
///
/// A server that was restarted from a snapshot, or promoted from a replica, may hold tokens that were removed. It has
/// another `run_id` than the one stored in it; then the token of the namespace goes, and with it every entry.
///
/// # Errors
/// The connection failed, or the server does not let the token be removed.
pub(crate) async fn trust<F, Fut>(prefix: &str, run: F) -> Result<Met>
where
    F: Fn(Pipeline) -> Fut,
    Fut: Future<Output = Result<Vec<Value>>>,
{
    if mistake!(NoRunCheck) {
        return Ok(Met { id: None, marked: true });
    }
    let mark = format!("{prefix}~run");
    let (id, stored) = who(&mark, &run).await?;
    if id.is_some() && id.as_deref().map(str::as_bytes) == stored.as_deref() {
        return Ok(Met { id, marked: true });
    }
    let mut end = redis::pipe();
    end.cmd("UNLINK").arg(format!("{prefix}~n"));
    insist(&run(end).await?, |_, _| false)?;
    // A trip of its own: the mark must not be there before the token is gone, whatever is lost on the way.
    let Some(id) = id else { return Ok(Met { id, marked: false }) };
    let mut begin = redis::pipe();
    begin.cmd("SET").arg(&mark).arg(&id).arg("PX").arg(MARK_TTL);
    // Without the mark the next connection ends everything once more.
    insist(&run(begin).await?, |_, answer| is_full(answer))?;
    Ok(Met { id: Some(id), marked: true })
}

/// How long the mark of a shard lives: longer than it takes to come back. Without it everything ends once more, and that is all.
const SHARD_MARK_TTL: u64 = 7 * 24 * 60 * 60 * 1_000;

/// Marks a shard as this process.
pub(crate) fn mark(mark: &str, id: &str) -> Pipeline {
    let mut pipe = redis::pipe();
    pipe.cmd("SET").arg(mark).arg(id).arg("PX").arg(SHARD_MARK_TTL);
    pipe
}

/// Asks a new connection to a shard which process it is, and whether that is the one that was marked.
///
/// # Errors
/// The connection failed.
pub(crate) async fn identify<F, Fut>(name: &str, run: F) -> Result<Met>
where
    F: Fn(Pipeline) -> Fut,
    Fut: Future<Output = Result<Vec<Value>>>,
{
    if mistake!(NoRunCheck) {
        return Ok(Met { id: None, marked: true });
    }
    let (id, stored) = who(name, &run).await?;
    // Nobody without a name can be known again.
    let Some(known) = id.as_deref().filter(|id| stored.as_deref() == Some(id.as_bytes())) else {
        return Ok(Met { id, marked: false });
    };
    run(mark(name, known)).await?;
    Ok(Met { id, marked: true })
}

/// Asks whether the server is a master.
///
/// # Errors
/// It is not, or the connection failed.
pub(super) async fn is_master<F, Fut>(run: F) -> Result<()>
where
    F: Fn(Pipeline) -> Fut,
    Fut: Future<Output = Result<Vec<Value>>>,
{
    let mut ask = redis::pipe();
    ask.cmd("ROLE");
    let answers = run(ask).await?;
    let role = match answers.first() {
        Some(Value::Array(parts)) => text(parts.first()),
        // Who may not ask learns it from the first write that is refused.
        Some(Value::ServerError(_)) => return Ok(()),
        _ => String::new(),
    };
    match role.as_str() {
        "master" => Ok(()),
        _ => Err(refused("READONLY")),
    }
}

/// Tries every command that pie uses, on names of no meaning, in one trip: whether the server takes them, and in time.
///
/// # Errors
/// It does not, or it takes longer than a lookup may.
pub(super) async fn probe<F, Fut>(name: &str, budget: Duration, run: F) -> Result<Checked>
where
    F: Fn(Pipeline) -> Fut,
    Fut: Future<Output = Result<Vec<Value>>>,
{
    const OPTIONAL: [&str; 5] = ["INFO", "EVAL", "PUBLISH", "SCAN", "PEXPIRE"];
    let mut pipe = redis::pipe();
    pipe.cmd("INFO").arg("memory");
    pipe.cmd("EVAL").arg("return 1").arg(1).arg(name);
    pipe.cmd("PUBLISH").arg(name).arg("");
    pipe.cmd("SCAN").arg(0).arg("MATCH").arg(name).arg("COUNT").arg(1);
    pipe.cmd("PEXPIRE").arg(name).arg(1_000).arg("GT");
    pipe.cmd("SET").arg(name).arg("1").arg("NX").arg("GET").arg("PX").arg(1_000);
    pipe.cmd("MGET").arg(name).arg(name);
    pipe.cmd("GETRANGE").arg(name).arg(0).arg(0);
    pipe.cmd("UNLINK").arg(name);
    let begun = Instant::now();
    let answers = run(pipe).await?;
    if begun.elapsed() > budget {
        return Err(Error::new(
            ErrorKind::Layer,
            "Redis answers, but later than the time budget of a lookup",
        ));
    }
    insist(&answers, |at, answer| at < OPTIONAL.len() || is_full(answer) || is_foreign(answer))?;
    let refused = |at: &usize| matches!(answers.get(*at), Some(Value::ServerError(_)));
    let missing = (0..OPTIONAL.len()).filter(refused).map(|at| OPTIONAL[at]).collect();
    let memory = text(answers.first());
    let memory = match (field(&memory, "maxmemory"), field(&memory, "maxmemory_policy")) {
        (Some("0"), Some("noeviction")) => Some(
            "Redis has no `maxmemory` and `maxmemory-policy noeviction`: it grows until the machine has no more; set a limit, \
             and `allkeys-lru` or another policy that evicts, any is safe",
        ),
        (_, Some("noeviction")) => Some(
            "Redis has `maxmemory-policy noeviction`: when it is full it takes no new values; set `allkeys-lru` or another \
             policy that evicts, any is safe",
        ),
        _ => None,
    };
    Ok(Checked { missing, memory })
}
