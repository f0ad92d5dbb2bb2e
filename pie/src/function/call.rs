//! One call of a cached function: its key, a look into memory at once, then the chain, then the function's own body.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use smallvec::smallvec;

use super::key::{CacheKey, Short, Template, logical_key};
use super::shape::Shape;
use crate::cache::BoxFuture;
use crate::cache::chain::{Got, Item, Seen, Single};
use crate::cache::entry::{Payload, ValueCodec};
use crate::cache::groups::{GroupId, GroupKind};
use crate::cache::key::{HEAD, Key, KeyKind, Lookup, head};
use crate::cache::manual::MAX_NAMES;
use crate::cache::read::Loader;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::model::fingerprint::mix;
use crate::model::{Policy, Schema};
use crate::plan::depends;
use crate::query::policy::{Effective, Options};
use crate::query::{Target, Told};

/// What is known of a cached function at compile time: one `static` for each.
#[derive(Debug)]
pub struct Function {
    name: &'static str,
    policy: Policy,
    depends: &'static [&'static Schema],
    fingerprint: u64,
    /// The fingerprint of its calls, where it is not the method of a type.
    fingerprint_alone: u64,
    group: GroupId,
    /// Whether a run can outlive its caller.
    detaches: bool,
}

/// The fingerprint of no type.
const NOTHING: u64 = crate::model::fingerprint::fingerprint("");

impl Function {
    /// A function of this name; `place` is where it is, its signature and its version.
    #[must_use]
    pub const fn new(
        name: &'static str,
        policy: Policy,
        depends: &'static [&'static Schema],
        place: &str,
    ) -> Self {
        let fingerprint = crate::model::fingerprint::fingerprint(place);
        let group = GroupId::new(name, GroupKind::Function);
        let fingerprint_alone = mix(fingerprint, NOTHING);
        Self { name, policy, depends, fingerprint, fingerprint_alone, group, detaches: false }
    }

    /// What its calls have, whether the cache is switched on or not.
    fn policy(&self, engine: &Engine) -> Effective {
        let mut policy = engine.policy_said(&Options::default(), &self.policy);
        if !self.detaches {
            // These take a load that outlives its caller, which a function's body does not.
            policy.rules.ahead = None;
            policy.rules.limits.stale = 0;
            policy.rules.soft_timeout = None;
        }
        policy
    }

    /// The same function, whose runs can outlive their callers.
    #[must_use]
    pub const fn detaching(mut self) -> Self {
        self.detaches = true;
        self
    }
}

/// Through what a function uses the cache: an engine, a transaction, or nothing.
#[derive(Debug, Clone, Copy)]
pub struct Via<'a>(Option<Target<'a>>);

impl<'a> Via<'a> {
    pub(crate) const fn of(target: Target<'a>) -> Self {
        Self(Some(target))
    }

    /// Through the engine that was installed, if one was.
    pub(super) fn installed(engine: Option<&'a Engine>) -> Self {
        Self(engine.map(Target::Engine))
    }
}

/// A call before it is answered.
pub struct Call<'a> {
    function: &'static Function,
    on: Option<Target<'a>>,
    fingerprint: u64,
    /// Whether it is the call of no type's method.
    alone: bool,
    /// What memory had; taken when it is given back.
    seen: Option<Seen>,
    /// Whether the answer from memory is to be loaded anew: claimed for this call.
    aging: bool,
    /// What only a call has that memory has no answer for.
    key: Option<Box<Written>>,
    tags: Vec<String>,
}

/// A key that is written out.
struct Written {
    template: Template<'static>,
    /// Where in it the key begins as people see it.
    from: usize,
    /// The key in memory, where it is not the text.
    short: Option<[u8; HEAD]>,
}

impl Written {
    fn in_memory(&self) -> &[u8] {
        match &self.short {
            Some(head) => head,
            None => &self.template.writer.text,
        }
    }
}

/// A function's body that borrows nothing.
pub type Detached<R> = BoxFuture<'static, R>;

/// A run that borrows nothing, for a task of its own.
pub struct Later(Box<dyn Loader>);

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Later")
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("function", &self.function.name).finish_non_exhaustive()
    }
}

/// How a call ends that pie itself cuts short: the function's return type out of an error of pie.
pub(super) type Ended<R> = Option<fn(Error) -> R>;

impl<'a> Call<'a> {
    /// A call through an engine or a transaction; without one the function runs by itself. `of` is the type whose method it
    /// is, or nothing.
    #[must_use]
    pub fn new(function: &'static Function, via: Via<'a>, of: &str) -> Self {
        let Via(on) = via;
        let alone = of.is_empty();
        let fingerprint = if alone {
            function.fingerprint_alone
        } else {
            mix(function.fingerprint, crate::model::fingerprint::fingerprint(of))
        };
        Self { function, on, fingerprint, alone, seen: None, aging: false, key: None, tags: Vec::new() }
    }

    /// Runs the function without the cache unless this holds.
    #[must_use]
    pub fn only_if(mut self, holds: bool) -> Self {
        if !holds {
            self.on = None;
        }
        self
    }

    /// The key of the call: fixed pieces and arguments in turn, a piece first. Looks into memory at once, while the key is on the
    /// stack; it is kept only where memory has no answer.
    pub fn key(&mut self, pieces: &'static [&'static str], values: &[&dyn CacheKey]) {
        let Some(engine) = self.engine() else { return };
        let group = &self.function.group;
        if let [value] = values
            && self.alone
            && engine.inner_scope().is_empty()
            && group.is_alone()
            && let Some(Short { kind, word }) = value.short()
        {
            let head = head(group, kind, (0, 0), word);
            if !self.look(engine, &head) {
                self.keep_short(head, pieces, values);
            }
            return;
        }
        self.other_key(engine, pieces, values);
    }

    #[cold]
    fn keep_short(&mut self, head: [u8; HEAD], pieces: &'static [&'static str], values: &[&dyn CacheKey]) {
        let mut template = Template::default();
        template.write_values(pieces, values);
        self.key = Some(Box::new(Written { template, from: 0, short: Some(head) }));
    }

    /// The key of any but a call with one short argument.
    #[inline(never)]
    fn other_key(&mut self, engine: &Engine, pieces: &'static [&'static str], values: &[&dyn CacheKey]) {
        let mut template = Template::default();
        let text = &mut template.writer.text;
        text.extend_from_slice(&head(&self.function.group, KeyKind::Call, (0, 0), self.fingerprint));
        let scope = engine.inner_scope();
        if !scope.is_empty() {
            text.extend_from_slice(scope.as_bytes());
        }
        let from = text.len();
        template.write_values(pieces, values);
        if !self.look(engine, &template.writer.text) {
            self.key = Some(Box::new(Written { template, from, short: None }));
        }
    }

    /// Looks for the key in memory; whether its answer is all that the call takes, so that the key is not needed any more.
    #[inline(always)]
    fn look(&mut self, engine: &Engine, full: &[u8]) -> bool {
        let chain = engine.chain();
        let group = chain.groups.of(&self.function.group);
        let own;
        let policy = match group.plain(|| self.function.policy(engine)) {
            Some(plain) => plain,
            None => {
                own = self.function.policy(engine);
                &own
            }
        };
        if !policy.enabled || !chain.is_enabled() {
            return false;
        }
        let key = Lookup { full, hash: chain.stamps.hash(full) };
        let Some(seen) = chain.peek_here(key, &policy.rules, group) else { return false };
        let aging = seen.aging;
        self.seen = Some(seen);
        !aging
    }

    /// Gives the value a tag, made as the key is.
    pub fn tag(&mut self, pieces: &[&str], values: &[&dyn CacheKey]) {
        self.tags.push(Template::plain().with(pieces, values).into_text());
    }

    fn engine(&self) -> Option<&'a Engine> {
        match self.on {
            // Inside a transaction, reads neither take from the cache nor fill it.
            Some(Target::Engine(engine)) if engine.check_open().is_ok() => Some(engine),
            _ => None,
        }
    }

    fn policy(&self, engine: &Engine) -> Option<Effective> {
        let policy = self.function.policy(engine);
        (policy.enabled && engine.chain().is_enabled()).then_some(policy)
    }

    /// The answer, if memory has it. Does not wait and does not allocate.
    pub fn hit<R, X, E>(&mut self, shape: &Shape<R, X, E>) -> Option<R> {
        let Seen { sight, told, aging } = self.seen.take()?;
        self.aging = aging;
        Some((shape.close)(Ok((shape.lend)(sight, told)?)))
    }

    /// Whether the answer from memory has to be loaded anew.
    #[must_use]
    pub fn is_aging(&self) -> bool {
        self.aging
    }

    /// A run of the function for a task of its own; nothing where there is no cache.
    pub fn later<R, X, E>(&self, shape: Shape<R, X, E>, body: Detached<R>) -> Option<Later>
    where
        R: Send + 'static,
        X: Send + 'static,
        E: Send + 'static,
    {
        let (engine, function) = (self.engine()?.clone(), self.function);
        let body = Body { engine, function, body: Some(body), failed: None, shape, later: Mutex::new(None) };
        Some(Later(Box::new(body)))
    }

    /// Has the value loaded anew in the background.
    pub fn renew<R, X, E>(self, shape: &Shape<R, X, E>, later: Option<Later>) {
        if let (Some(engine), Some(later), Some(key)) = (self.engine(), later, &self.key)
            && let Some(policy) = self.policy(engine)
            && let Ok(item) = self.item(key, engine, &policy, shape.codec)
        {
            engine.chain().refresh_later(Arc::new(item), policy.rules, later.0);
        }
    }

    fn item(
        &self,
        key: &Written,
        engine: &Engine,
        policy: &Effective,
        codec: &'static ValueCodec,
    ) -> Result<Item> {
        let logical = key.template.logical(key.from);
        let family = logical.split(':').next().unwrap_or(&logical);
        let mut names = vec![depends::family_name(family)];
        names.extend(self.function.depends.iter().map(|schema| depends::table_name(schema)));
        for tag in &self.tags {
            let name = format!("t:{tag}");
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let namespaces = engine.namespaces();
        if 1 + names.len() + namespaces.len() > MAX_NAMES {
            let message = format!("what a value depends on has at most {MAX_NAMES} names, its tags included");
            return Err(Error::new(ErrorKind::InvalidQuery, message));
        }
        let mut stamps = engine.stamps(&names);
        stamps.extend(namespaces);
        let full = key.in_memory();
        let hash = engine.chain().stamps.hash(full);
        Ok(Item {
            key: Key::new(Lookup { full, hash }, engine.scope(), &logical, self.fingerprint),
            others: Arc::new(stamps.into_iter().collect()),
            limits: policy.rules.limits,
            codec,
            group: &self.function.group,
        })
    }

    /// The answer: from the layers, or from the function's body, once for all that ask at the same time.
    ///
    /// The body is a future that has not begun: where another run or a layer has the answer, it is dropped as it is.
    pub(super) async fn answer<R, X, E>(
        self,
        shape: Shape<R, X, E>,
        ended: Ended<R>,
        later: Option<Later>,
        body: BoxFuture<'_, R>,
    ) -> R
    where
        R: Send,
        X: Send,
        E: Send,
    {
        let Some(engine) = self.engine() else { return body.await };
        let Some(mut policy) = self.policy(engine) else { return body.await };
        // Without one memory had an answer, of another type: a generic function has one key for all of its types.
        let Some(key) = &self.key else { return body.await };
        if ended.is_none() {
            // The engine's timeout would be an error that the return type has no place for.
            policy.rules.timeout = None;
        }
        let item = match self.item(key, engine, &policy, shape.codec) {
            Ok(item) => Arc::new(item),
            Err(error) => {
                tracing::error!(function = self.function.name, %error, "a function runs without the cache");
                return body.await;
            }
        };
        let mut loader = Body {
            engine: engine.clone(),
            function: self.function,
            body: Some(body),
            failed: None,
            shape,
            later: Mutex::new(later),
        };
        let outcome = engine.chain().get_one(&item, &policy.rules, &mut loader).await;
        let Body { body, failed, shape, .. } = loader;
        let error = match outcome {
            Ok(got) => {
                let (value, found) = match &got {
                    Got::Found(found) => (found.entry.value(), found.told()),
                    Got::Loaded(payload) => (&payload.value, Told::LOADED),
                };
                match (shape.restore)(value, found) {
                    Some(value) => return (shape.close)(Ok(value)),
                    None => {
                        Error::new(ErrorKind::Decode, "a cached value of another type under the same key")
                    }
                }
            }
            Err(error) => error,
        };
        if let Some(failed) = failed {
            return (shape.close)(Err(failed));
        }
        if let Some(shared) = error.carried().and_then(shape.shared) {
            return (shape.close)(Err(shared));
        }
        match (ended, body) {
            (Some(ended), _) if error.kind() == ErrorKind::LoadTimeout => ended(error),
            // The load of another failed with an error that cannot be shared, or the cache did: this one loads by itself.
            (_, Some(body)) => body.await,
            (_, None) => {
                unreachable!("a body that was run gave a value or an error, unless a timeout cut it short")
            }
        }
    }
}

/// Loads by running the function's body.
struct Body<'b, R, X, E> {
    engine: Engine,
    function: &'static Function,
    /// Taken when it is run.
    body: Option<BoxFuture<'b, R>>,
    /// The function's own error.
    failed: Option<E>,
    shape: Shape<R, X, E>,
    /// The same run for a task of its own; taken when it is needed.
    later: Mutex<Option<Later>>,
}

impl<R, X, E> Loader for Body<'_, R, X, E>
where
    R: Send,
    X: Send,
    E: Send,
{
    fn load<'s>(&'s mut self, _wanted: &'s [usize]) -> BoxFuture<'s, Result<Single<Payload>>> {
        Box::pin(async move {
            let Some(body) = self.body.take() else {
                return Err(Error::new(ErrorKind::Interrupted, "a function's body was asked for twice"));
            };
            let max_loads = self.function.policy.max_loads;
            let returned = self.engine.in_turn_of(self.function.name, max_loads, body).await;
            match (self.shape.open)(returned) {
                Ok(value) => Ok(smallvec![(self.shape.store)(value)]),
                Err(error) => {
                    let told = Error::new(ErrorKind::Load, "a cached function returned an error");
                    let told = told.with_query(self.function.name).carrying((self.shape.share)(&error));
                    self.failed = Some(error);
                    Err(told)
                }
            }
        })
    }

    fn detached(&self, _wanted: &[usize]) -> Option<Box<dyn Loader>> {
        self.later.lock().unwrap_or_else(PoisonError::into_inner).take().map(|later| later.0)
    }
}

/// Ends the value under the key of these pieces and arguments, through a handle; inside a transaction, at its commit.
///
/// # Errors
/// [`ErrorKind::Disabled`] when the cache is switched off, after it was done.
pub fn end_key<'v>(via: Via<'v>, pieces: &[&str], values: &[&dyn CacheKey]) -> BoxFuture<'v, Result<()>> {
    let mut ended = Invalidation::default();
    ended.key(pieces, values);
    Box::pin(async move {
        ended.run(via).await;
        match via.0 {
            Some(Target::Engine(engine)) => engine.cache().check(),
            _ => Ok(()),
        }
    })
}

/// What `#[invalidates]` ends: gathered while the arguments are there, carried out when the function is through.
#[derive(Debug, Default)]
pub struct Invalidation {
    names: Vec<String>,
    patterns: Vec<String>,
}

impl Invalidation {
    /// A key, of fixed pieces and arguments in turn.
    pub fn key(&mut self, pieces: &[&str], values: &[&dyn CacheKey]) {
        self.names.push(format!("k:{}", logical_key(pieces, values)));
    }

    /// A tag.
    pub fn tag(&mut self, pieces: &[&str], values: &[&dyn CacheKey]) {
        self.names.push(format!("t:{}", Template::plain().with(pieces, values).into_text()));
    }

    /// A pattern.
    pub fn pattern(&mut self, pieces: &[&str], values: &[&dyn CacheKey]) {
        self.patterns.push(Template::default().with(pieces, values).into_text());
    }

    /// Everything of a model.
    pub fn model(&mut self, schema: &'static Schema) {
        self.names.extend(depends::everything(schema));
    }

    /// Carries it out, also when its caller goes away; inside a transaction, at its commit.
    pub async fn run(self, Via(on): Via<'_>) {
        match on {
            Some(Target::Engine(engine)) => {
                let (engine, running) = (engine.clone(), engine.chain().tasks.start());
                let work = async move {
                    engine.chain().invalidate_here(&engine.stamps(&self.names)).await;
                    for pattern in &self.patterns {
                        // `Disabled` is told after it was done, and says nothing here.
                        let _ = engine.cache().delete_by_pattern(pattern).await;
                    }
                    drop(running);
                };
                crate::task::spawn(work).await;
            }
            Some(Target::Tx(tx)) => {
                // Which keys match at the commit is not known here: the whole family goes, or the whole namespace.
                let families = self.patterns.iter().map(|pattern| match pattern.split_once(':') {
                    Some((family, _)) if !crate::cache::glob::is_pattern(family) => {
                        depends::family_name(family)
                    }
                    _ => "n".to_owned(),
                });
                let names: Vec<String> = self.names.iter().cloned().chain(families).collect();
                tx.touch_names(tx.engine().stamps(&names));
            }
            None => {}
        }
    }
}
