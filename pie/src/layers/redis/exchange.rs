//! Reading and storing values: bytes and tokens in one round trip, tokens created where they are missing.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;
use redis::{Cmd, Pipeline, Value};
use smallvec::SmallVec;

use super::layout::Layout;
use super::protocol::{Copied, CowBytes, Protocol, all_done, random_token, unlink};
use super::wire::{Deadline, Wire, changed, garbled, is_foreign, is_full, refused};
use crate::cache::stamps::StampName;
use crate::cache::{SharedRead, SharedReply, SharedWrite, Tokens};
use crate::codec::Token;
use crate::error::{Error, Result};

/// How long every read asks for a bounded part of values, after one was too long or a call was late.
const WARY: Duration = Duration::from_secs(60);
/// How much longer than a lookup a call is waited for that nobody waits for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much longer than a value its tokens live, in milliseconds, as a load may take that long without its result being
/// lost: as long as the value itself, from a second to a minute.
fn slack(ttl: u64) -> u64 {
    ttl.clamp(1_000, 60_000)
}

/// How long the tokens of a value live that lives for `ttl` milliseconds.
fn token_ttl(ttl: u64) -> u64 {
    // Redis refuses times beyond what an i64 holds.
    ttl.saturating_add(slack(ttl)).min(1 << 52)
}

fn as_token(value: &Value) -> Option<Token> {
    match value {
        Value::BulkString(bytes) => bytes.as_slice().try_into().ok(),
        _ => None,
    }
}

/// A command of so many arguments, which have so many bytes together: neither grows while they are added.
fn command(name: &str, args: usize, bytes: usize) -> Cmd {
    let mut command = Cmd::with_capacity(1 + args, name.len() + bytes);
    command.arg(name);
    command
}

/// Creates a token unless there is one, and returns the one there was.
fn create(pipe: &mut Pipeline, name: &str, token: &Token, ttl: u64) {
    // The words and a time take 7 and at most 16 bytes.
    let mut set = command("SET", 6, name.len() + token.len() + 7 + 16);
    set.arg(name).arg(&token[..]).arg("NX").arg("GET").arg("PX").arg(token_ttl(ttl));
    pipe.add_command(set);
}

/// The tokens that some reads need: those that several have in common are asked for once.
struct Questions<'r> {
    asked: SmallVec<[Copied<'r>; 4]>,
    /// Places among the asked ones: lists of what reads depend on besides their own names.
    places: SmallVec<[usize; 4]>,
    of_reads: SmallVec<[Places; 1]>,
}

/// A list of what several reads depend on, and which part of the places is its.
type List<'r> = (&'r [StampName], (usize, usize));

/// Where the tokens of one read will be.
struct Places {
    /// The place of its own name; `None` where that is asked for in another way.
    own: Option<usize>,
    /// Which part of the lists is its.
    others: (usize, usize),
}

impl<'r> Questions<'r> {
    fn of(reads: &'r [SharedRead<'r>], layout: Layout, alone: bool) -> Self {
        let mut known: HashMap<Copied<'_>, usize, RandomState> = HashMap::default();
        let mut questions = Self {
            asked: SmallVec::with_capacity(if alone { 0 } else { reads.len() + 4 }),
            places: SmallVec::new(),
            of_reads: SmallVec::with_capacity(reads.len()),
        };
        // Rows of one model have one of a few lists.
        let mut before: SmallVec<[List<'_>; 4]> = SmallVec::new();
        for read in reads {
            // Its copy is the first: only names of families and the namespace have others.
            let own = (!alone).then(|| questions.ask((read.names.own(), 0)));
            // The same list has the same tokens where there is one server.
            let same = before
                .iter()
                .find(|(list, _)| layout == Layout::Single && std::ptr::eq(*list, read.names.others()));
            let others = match same {
                Some((_, places)) => *places,
                None => {
                    let from = questions.places.len();
                    for name in read.names.others() {
                        let copied = (name, layout.copy(name, read.key));
                        let place = match reads {
                            // Nobody to have a name in common with.
                            [_] => questions.ask(copied),
                            _ => *known.entry(copied).or_insert_with(|| questions.ask(copied)),
                        };
                        questions.places.push(place);
                    }
                    let places = (from, questions.places.len());
                    if before.len() < before.inline_size() {
                        before.push((read.names.others(), places));
                    }
                    places
                }
            };
            questions.of_reads.push(Places { own, others });
        }
        questions
    }

    fn ask(&mut self, name: Copied<'r>) -> usize {
        self.asked.push(name);
        self.asked.len() - 1
    }
}

impl<W: Wire> Protocol<W> {
    /// Reads values and tokens in one round trip; creates tokens that are missing, in a second one those of several keys
    /// and of one that no miss was expected of.
    /// Without room for new tokens, what is there is still read.
    ///
    /// # Errors
    /// Redis did not answer within the time budget, or unsent invalidations could not be sent.
    pub(crate) async fn read(&self, reads: &[SharedRead<'_>]) -> Result<Vec<SharedReply>> {
        let by = self.wire.deadline();
        let failures = self.pending.failures();
        let mut outcome = self.read_by(reads, by).await;
        if failures != self.pending.failures() && !mistake!(NoSecondLook) {
            // Between the look at what is unsent and the question, another server may have come, with what was removed.
            outcome = Err(changed());
        }
        if outcome.is_err() && Deadline::now() >= by {
            // Perhaps because of a value without end under a key of ours.
            self.wary.set(WARY);
        }
        outcome
    }

    #[allow(
        clippy::manual_async_fn,
        reason = "an `async fn` has each of its arguments twice, and the future would be too large"
    )]
    fn read_by(
        &self,
        reads: &[SharedRead<'_>],
        by: Deadline,
    ) -> impl Future<Output = Result<Vec<SharedReply>>> + Send {
        async move {
            self.send_pending(by).await?;
            pause!();

            // The own name of a key that is read alone comes with its creation: a miss then costs this one trip. Of many keys most
            // are hits, and their own names are asked for like the others; so it is where no miss came for a while.
            let creates = !self.full.is_on();
            let alone = reads.len() == 1 && creates && !self.streak.is_long();
            let layout = self.wire.layout();
            let Questions { asked, places, of_reads } = Questions::of(reads, layout, alone);
            let ttl = reads.iter().map(|read| read.ttl).max().unwrap_or(0);

            let wary = self.wary.is_on();
            let mut pipe = redis::Pipeline::with_capacity(2);
            if wary {
                for read in reads {
                    pipe.cmd("GETRANGE").arg(layout.key(read.key)).arg(0).arg(self.max_value);
                }
            }
            if !wary || !asked.is_empty() {
                let keys = if wary { &[] } else { reads };
                let bytes = keys.iter().map(|read| layout.key_len(read.key)).sum::<usize>()
                    + asked.iter().map(|(name, _)| layout.token_len(name)).sum::<usize>();
                let mut mget = command("MGET", keys.len() + asked.len(), bytes);
                for read in keys {
                    mget.arg(layout.key(read.key));
                }
                for (name, copy) in &asked {
                    mget.arg(&*layout.token(name, *copy));
                }
                pipe.add_command(mget);
            }
            let mut own = None;
            if alone {
                let name = reads[0].names.own();
                let fresh = random_token();
                create(&mut pipe, &layout.token(name, 0), &fresh, ttl);
                own = Some(fresh);
            }
            let mut replies = self.wire.run(pipe, by).await?.into_iter();
            let mut values: Vec<Value> =
                if wary { replies.by_ref().take(reads.len()).collect() } else { Vec::new() };
            if !wary || !asked.is_empty() {
                match replies.next() {
                    Some(Value::Array(more)) if values.is_empty() => values = more,
                    Some(Value::Array(more)) => values.extend(more),
                    _ => return Err(self.garbled()),
                }
            }
            if values.len() != reads.len() + asked.len() {
                return Err(self.garbled());
            }
            // Whether the own name of a key that is read alone has a token.
            let mut owned = true;
            if let Some(own) = &mut own {
                let reply = replies.next().unwrap_or(Value::Nil);
                self.streak.went(as_token(&reply).is_some());
                match (as_token(&reply), &reply) {
                    (Some(existing), _) => *own = existing,
                    (None, Value::ServerError(_)) => {
                        owned = false;
                        Box::pin(self.not_created(&[((reads[0].names.own(), 0), &reply)], by)).await;
                    }
                    (None, _) if mistake!(MissingTokenOk) => {
                        if let Some(stored) = stored_token(&values[0]) {
                            *own = stored;
                        }
                    }
                    (None, _) => self.full.taken(),
                }
            }
            let mut tokens: SmallVec<[Option<Token>; 4]> =
                values[reads.len()..].iter().map(as_token).collect();
            // A missing token is a miss, also if the second trip finds one: between the two the server may have been replaced by
            // one that remembers what this one had forgotten.
            let there: SmallVec<[bool; 16]> = tokens.iter().map(Option::is_some).collect();
            if let [Places { own: Some(own), .. }] = &of_reads[..] {
                self.streak.went(there[*own]);
            }
            if creates && tokens.contains(&None) {
                Box::pin(self.create_missing(&asked, &mut tokens, ttl, by)).await?;
            }
            // The tokens of all reads, one after the other, and how many each has, if they are known.
            let mut all: SmallVec<[Token; 8]> =
                SmallVec::with_capacity(reads.iter().map(|read| read.names.len()).sum());
            let mut counts: SmallVec<[usize; 4]> = SmallVec::new();
            let mut states: SmallVec<[(bool, bool); 4]> = SmallVec::new();
            for Places { own: own_place, others } in of_reads {
                let (before, mut whole, mut known) = (all.len(), true, owned);
                all.extend(own);
                for at in own_place.iter().chain(&places[others.0..others.1]) {
                    whole &= there[*at];
                    match tokens[*at] {
                        Some(token) => all.push(token),
                        None => known = false,
                    }
                }
                if !known {
                    all.truncate(before);
                }
                counts.push(all.len() - before);
                states.push((whole, known));
            }
            let parts = Tokens::parts(Arc::from(&all[..]), counts);
            // The tokens among the values are behind those of the last read.
            let replies = parts.zip(states).zip(values).map(|((tokens, (whole, known)), value)| {
                if !known {
                    // Nothing may be stored, or served, without all of them.
                    return match self.full.is_known() {
                        true => SharedReply::new(None, tokens),
                        false => SharedReply::failed(),
                    };
                }
                let bytes = match value {
                    // What GETRANGE says of a key that is not there.
                    Value::BulkString(bytes) if wary && bytes.is_empty() => None,
                    Value::BulkString(bytes) if whole => Some(self.bounded(bytes)),
                    _ => None,
                };
                SharedReply::new(bytes, tokens)
            });
            Ok(replies.collect())
        }
    }

    /// The error of an answer that is none; the server is checked before it is asked again.
    fn garbled(&self) -> Error {
        let error = garbled();
        self.wire.distrust(&error);
        error
    }

    /// Stored bytes, unless there are more than any value of ours has: then none, which is no value.
    fn bounded(&self, bytes: Vec<u8>) -> Bytes {
        if bytes.len() <= self.max_value {
            return Bytes::from(bytes);
        }
        self.wary.set(WARY);
        Bytes::new()
    }

    /// Tokens were not created, because there is no room, or something of another's is in their place, which goes.
    async fn not_created(&self, refusals: &[(Copied<'_>, &Value)], by: Deadline) {
        if refusals.iter().any(|(_, refusal)| is_full(refusal)) {
            self.full.refused();
        }
        let layout = self.wire.layout();
        let foreign = refusals.iter().filter(|(_, refusal)| is_foreign(refusal)).map(|(name, _)| *name);
        let mut pipe = redis::pipe();
        unlink(&mut pipe, foreign.map(|(name, copy)| CowBytes(layout.token(name, copy))));
        if !pipe.is_empty() {
            // The next read tries again.
            let _ = self.wire.run(pipe, by).await;
        }
    }

    /// A second round trip: after an invalidation of a name that many keys share, and for misses among many keys.
    async fn create_missing(
        &self,
        names: &[Copied<'_>],
        tokens: &mut [Option<Token>],
        ttl: u64,
        by: Deadline,
    ) -> Result<()> {
        let missing: Vec<usize> = (0..names.len()).filter(|at| tokens[*at].is_none()).collect();
        let mut pipe = redis::pipe();
        let mut fresh = Vec::with_capacity(missing.len());
        for i in &missing {
            let token = random_token();
            fresh.push(token);
            let (name, copy) = names[*i];
            create(&mut pipe, &self.wire.layout().token(name, copy), &token, ttl);
        }
        let replies = self.wire.run(pipe, by).await?;
        let mut refusals = Vec::new();
        for ((i, fresh), reply) in missing.into_iter().zip(fresh).zip(&replies) {
            match reply {
                Value::ServerError(_) => refusals.push((names[i], reply)),
                _ => tokens[i] = Some(as_token(reply).unwrap_or(fresh)),
            }
        }
        match refusals.is_empty() {
            true => self.full.taken(),
            false => self.not_created(&refusals, by).await,
        }
        Ok(())
    }

    /// Stores values, and lets their tokens and the server's mark live longer than they do.
    ///
    /// # Errors
    /// Redis could not be reached, or has no room.
    pub(crate) async fn write(&self, writes: &[SharedWrite<'_>]) -> Result<()> {
        if self.full.is_on() {
            return Err(refused("OOM"));
        }
        let mut pipe = redis::pipe();
        let mut longest = 0;
        let layout = self.wire.layout();
        let mut names: HashMap<Copied<'_>, u64> = HashMap::new();
        for write in writes {
            let ttl = write.ttl.min(1 << 52);
            pipe.cmd("SET").arg(layout.key(write.key)).arg(&write.bytes[..]).arg("PX").arg(ttl);
            longest = longest.max(ttl);
            for name in write.names {
                let longer = names.entry((name, layout.copy(name, write.key))).or_default();
                *longer = ttl.max(*longer);
            }
        }
        let mut keep = |name: &str, ttl: u64| {
            pipe.cmd("PEXPIRE").arg(name).arg(token_ttl(ttl)).arg("GT");
        };
        for ((name, copy), ttl) in names {
            keep(&layout.token(name, copy), ttl);
        }
        if layout == Layout::Single {
            keep(&format!("{}~run", self.prefix()), longest);
        }
        // Nobody waits for it, and it may be large.
        let by = self.wire.deadline() + PATIENCE;
        let answers = self.wire.run(pipe, by).await?;
        let stored = answers.get(..writes.len()).ok_or_else(garbled)?;
        match stored.iter().any(is_full) {
            true => self.full.refused(),
            false => self.full.taken(),
        }
        // That its user may not prolong tokens was said when it connected.
        all_done(stored)
    }
}

/// The first token that stored bytes were written under: what the mistake of trusting a missing token needs.
fn stored_token(value: &Value) -> Option<Token> {
    match value {
        Value::BulkString(bytes) => {
            let (envelope, _) = crate::codec::Envelope::open(bytes)?;
            envelope.stamps.first().map(|(_, token)| *token)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::names::Names;
    use crate::cache::{Key, Lookup};

    fn key(id: usize) -> Key {
        Key::new(Lookup { full: &[], hash: 0 }, "pie:", &format!("user:{id}"), 0)
    }

    fn name(name: &str) -> StampName {
        StampName::new("pie:", name)
    }

    /// What a read asks for, in the order of its names.
    fn asked<'q>(questions: &'q Questions<'_>, at: usize) -> Vec<(&'q str, u8)> {
        let Places { own, others } = &questions.of_reads[at];
        let all = own.iter().chain(&questions.places[others.0..others.1]);
        all.map(|at| (questions.asked[*at].0.as_str(), questions.asked[*at].1)).collect()
    }

    #[test]
    fn what_reads_have_in_common_is_asked_for_once_and_each_gets_all_of_its_names() {
        let keys: Vec<Key> = (0..4).map(key).collect();
        let rows = [name("f:user"), name("n")];
        // The same names in a list of its own, and one more.
        let more = [name("f:user"), name("t:a"), name("n")];
        let lists = [&rows[..], &rows, &more, &rows];
        let reads: Vec<SharedRead<'_>> = keys
            .iter()
            .zip(lists)
            .map(|(key, others)| SharedRead { key, names: Names::new(key.name(), others), ttl: 1 })
            .collect();

        let questions = Questions::of(&reads, Layout::Single, false);
        assert_eq!(questions.asked.len(), 4 + 3);
        for (at, read) in reads.iter().enumerate() {
            let expected: Vec<_> = read.names.iter().map(|name| (name.as_str(), 0)).collect();
            assert_eq!(asked(&questions, at), expected);
        }

        // Each entry of a cluster depends on the copy for its own slot.
        let questions = Questions::of(&reads, Layout::Cluster, false);
        for (at, read) in reads.iter().enumerate() {
            let copy = |name| Layout::Cluster.copy(name, read.key);
            let expected: Vec<_> = read.names.iter().map(|name| (name.as_str(), copy(name))).collect();
            assert_eq!(asked(&questions, at), expected);
        }

        // Who is alone creates its own name, and does not ask for it.
        let questions = Questions::of(&reads[..1], Layout::Single, true);
        assert_eq!(asked(&questions, 0), [("pie:~f:user", 0), ("pie:~n", 0)]);
    }
}
