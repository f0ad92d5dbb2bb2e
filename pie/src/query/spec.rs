//! A read before it runs: which rows, in which order, with which options; and the key it has.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use super::policy::Options;
use super::shape::{Fetch, ROWS, ShapeTable};
use crate::cache::groups::GroupId;
use crate::cache::key::{HEAD, KeyKind, head, short_word};
use crate::cache::stamps::{KEY_KIND, StampName};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Datum, Index, Schema};
use crate::plan::canonical::{push_window, put_condition};
use crate::plan::depends;
use crate::plan::filter::{Comparison, Condition};
use crate::plan::text::{Text, push_binary, push_data};
use crate::plan::{Ask, Direction, Few, Order, ReadPlan};

/// The arguments of a finder.
pub(crate) type Args<'a> = Few<Datum<'a>>;

/// The most stamps an entry depends on.
const MAX_STAMPS: usize = 16;

/// Where the rows of a read come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// The one row with these values in the columns of the id or of a unique constraint.
    Row(&'static Index),
    /// The rows with these values in the columns of an index.
    List(&'static Index),
    /// Any rows.
    Any,
}

/// The name of a query in two parts, put together where it is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueryName(&'static str, &'static str);

impl fmt::Display for QueryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)?;
        f.write_str(self.1)
    }
}

/// A read before it runs.
#[derive(Debug, Clone)]
pub(crate) struct Spec<'a> {
    pub(crate) schema: &'static Schema,
    pub(crate) from: From,
    pub(crate) args: Args<'a>,
    order: Few<Order>,
    limit: Option<u64>,
    offset: Option<u64>,
    options: Options,
    /// What a finder does not have; apart, so that it need not carry it.
    rest: Option<Box<Rest>>,
    /// Whether nothing is said but by what it finds. What changes anything of the five before goes through here, so that one
    /// look tells.
    bare: bool,
}

/// What a read of any rows has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rest {
    pub(crate) filter: Option<Condition>,
    /// The column whose values are asked for, instead of rows.
    pub(crate) distinct: Option<usize>,
    /// The family of the key where it is not the table; escaped.
    pub(crate) family: Option<Box<str>>,
    /// The number of a page and its size.
    pub(crate) page: (u64, u64),
}

static NO_REST: Rest = Rest { filter: None, distinct: None, family: None, page: (0, 0) };

/// A key in memory: its head alone, or more.
#[allow(clippy::large_enum_variant, reason = "on the stack for the length of a look")]
pub(crate) enum MemoryKey {
    Head([u8; HEAD]),
    Text(Text),
}

impl Deref for MemoryKey {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Head(head) => head,
            Self::Text(text) => text,
        }
    }
}

/// The text of a key: what of it is the logical key, and the fingerprint of what it is of.
pub(crate) struct KeyText {
    full: Text,
    scope_end: usize,
    prefix_end: usize,
    opaque: bool,
    pub(crate) fingerprint: u64,
}

impl KeyText {
    /// The key as people see it.
    pub(crate) fn logical(&self) -> Cow<'_, str> {
        depends::logical_of(&self.full[self.scope_end..], self.prefix_end - self.scope_end, self.opaque)
    }
}

/// A value that fits into the head of a key, as a number, and the kind of key that it makes.
#[inline(always)]
fn short_datum(one: &Datum<'_>) -> Option<(KeyKind, u64)> {
    match one {
        Datum::Int(number) => Some((KeyKind::Number, u64::from_le_bytes(number.to_le_bytes()))),
        Datum::Text(word) => short_word(word),
        _ => None,
    }
}

impl<'a> Spec<'a> {
    #[inline]
    pub(crate) fn new(schema: &'static Schema, from: From, args: Args<'a>) -> Self {
        Self {
            schema,
            from,
            args,
            order: Few::None,
            limit: None,
            offset: None,
            options: Options::default(),
            rest: None,
            bare: true,
        }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn options_mut(&mut self) -> &mut Options {
        self.bare = false;
        &mut self.options
    }

    pub(crate) fn order_mut(&mut self) -> &mut Few<Order> {
        self.bare = false;
        &mut self.order
    }

    pub(crate) fn limit(&self) -> Option<u64> {
        self.limit
    }

    pub(crate) fn set_limit(&mut self, rows: u64) {
        self.bare = false;
        self.limit = Some(rows);
    }

    pub(crate) fn set_offset(&mut self, rows: u64) {
        self.bare = false;
        self.offset = Some(rows);
    }

    pub(crate) fn rest(&self) -> &Rest {
        self.rest.as_deref().unwrap_or(&NO_REST)
    }

    pub(crate) fn rest_mut(&mut self) -> &mut Rest {
        self.bare = false;
        self.rest.get_or_insert_default()
    }

    /// The same read, borrowing nothing.
    pub(crate) fn into_owned(self) -> Spec<'static> {
        Spec {
            schema: self.schema,
            from: self.from,
            args: self.args.map(Datum::into_owned),
            order: self.order,
            limit: self.limit,
            offset: self.offset,
            options: self.options,
            rest: self.rest,
            bare: self.bare,
        }
    }

    /// The name of the query in errors.
    pub(crate) fn name(&self, shape: &ShapeTable) -> QueryName {
        match (self.from, shape.word) {
            (From::Row(index), _) => QueryName("find_by_", index.name),
            (From::List(index), "find") => QueryName("list_by_", index.name),
            (_, word) => QueryName("", word),
        }
    }

    /// The whole condition: the finder's arguments and the filter, in normal form.
    pub(crate) fn condition(&self) -> Option<Condition> {
        let index = match self.from {
            From::Row(index) | From::List(index) => Some(index),
            From::Any => None,
        };
        if let (Some(Index { columns: [column], .. }), Few::One(datum), None) =
            (index, &self.args, &self.rest)
        {
            // Nothing to put together.
            return Some(Condition::Compare(*column, Comparison::Eq, datum.clone().into_owned()).normal());
        }
        let pinned = index.into_iter().flat_map(|index| {
            index.columns.iter().zip(&self.args).map(|(column, datum)| {
                Condition::Compare(*column, Comparison::Eq, datum.clone().into_owned())
            })
        });
        let parts: Vec<Condition> = pinned.chain(self.rest().filter.clone()).collect();
        (!parts.is_empty())
            .then(|| Condition::All(parts).normal())
            .filter(|whole| *whole != Condition::All(vec![]))
    }

    /// The id or unique constraint by which a single row is read.
    pub(crate) fn row(&self) -> Option<&'static Index> {
        match self.from {
            From::Row(index) => Some(index),
            From::List(_) | From::Any => None,
        }
    }

    /// Whether the key is the finder's own, with its arguments in it.
    fn plain(&self, shape: &ShapeTable) -> bool {
        match self.from {
            From::Row(_) => true,
            From::List(_) => {
                shape.word == "find"
                    && self.rest.as_ref().is_none_or(|rest| rest.filter.is_none() && rest.family.is_none())
            }
            From::Any => false,
        }
    }

    /// What the answer is of: the model as it is now, the shape, and the tags of this query.
    fn fingerprint(&self, shape: &ShapeTable) -> u64 {
        let fingerprint = crate::model::fingerprint::mix(self.schema.fingerprint, u64::from(shape.kind));
        if self.options.says_more() { self.with_tags(fingerprint) } else { fingerprint }
    }

    /// The tags of this query; 0 for none.
    fn tagged(&self) -> u64 {
        if self.options.tags().is_empty() { 0 } else { self.with_tags(1) }
    }

    /// Other tags are another entry: one that a reader without them stored would not die with them.
    #[cold]
    fn with_tags(&self, mut fingerprint: u64) -> u64 {
        let mut tags: Vec<&str> = self.options.tags().iter().map(|tag| &**tag).collect();
        tags.sort_unstable();
        tags.dedup();
        for tag in tags {
            fingerprint = crate::model::fingerprint::mix(fingerprint, crate::codec::name_hash(tag));
        }
        fingerprint
    }

    /// The key in memory of a finder by one short argument of which nothing else is said, asked without a scope: its head alone.
    #[inline(always)]
    pub(crate) fn bare_key(&self, group: &'static GroupId, shape: &ShapeTable) -> Option<[u8; HEAD]> {
        if !self.bare {
            return None;
        }
        let index = match self.from {
            From::Row(index) => index,
            From::List(index) if shape.kind == ROWS => index,
            From::List(_) | From::Any => return None,
        };
        let Few::One(one) = &self.args else { return None };
        let (kind, word) = short_datum(one)?;
        group.is_alone().then(|| head(group, kind, (index.number, shape.kind), word))
    }

    /// The key in memory: short bytes that tell a read from all others. Does not allocate for a finder with short arguments.
    #[inline(always)]
    pub(crate) fn memory_key(&self, shape: &ShapeTable, scope: &str) -> MemoryKey {
        let group = (self.schema.group)();
        match self.short() {
            Some((index, kind, word)) if scope.is_empty() && group.is_alone() && self.plain(shape) => {
                MemoryKey::Head(head(group, kind, (index.number, shape.kind), word))
            }
            _ => MemoryKey::Text(self.other_key(shape, scope)),
        }
    }

    /// The one argument by which a finder finds, where it fits into the head of a key and nothing else is said.
    #[inline(always)]
    fn short(&self) -> Option<(&'static Index, KeyKind, u64)> {
        let (From::Row(index) | From::List(index)) = self.from else { return None };
        let Few::One(one) = &self.args else { return None };
        // What a query says of the cache does not change which value it is of, but for tags.
        if self.rest.is_some() || !self.options.tags().is_empty() || self.has_window() {
            return None;
        }
        short_datum(one).map(|(kind, word)| (index, kind, word))
    }

    /// Whether dropping it would do nothing: nothing of it is on the heap.
    #[inline(always)]
    pub(crate) fn is_light(&self) -> bool {
        let borrows =
            matches!(self.args, Few::None | Few::One(Datum::Int(_) | Datum::Text(Cow::Borrowed(_))));
        borrows && (self.bare || (self.rest.is_none() && !self.options.says_more() && !self.has_window()))
    }

    /// The key of any but a finder by one short argument.
    fn other_key(&self, shape: &ShapeTable, scope: &str) -> Text {
        let group = (self.schema.group)();
        let (From::Row(index) | From::List(index)) = self.from else { return self.text_key(shape, scope) };
        if !self.plain(shape) || !group.is_alone() {
            return self.text_key(shape, scope);
        }
        let what = (index.number, shape.kind);
        let bare = scope.is_empty() && self.options.tags().is_empty() && !self.has_window();
        match &self.args {
            Few::One(Datum::Text(word)) if bare => {
                let mut full = Text::from(&head(group, KeyKind::Word, what, 0));
                full.extend_from_slice(word.as_bytes());
                full
            }
            _ => self.finder_key(head(group, KeyKind::Finder, what, self.tagged()), scope),
        }
    }

    /// Whether order, limit or offset are said.
    #[inline]
    pub(crate) fn has_window(&self) -> bool {
        !self.order.is_empty() || self.limit.is_some() || self.offset.is_some()
    }

    /// The key of a finder with anything else than one short argument.
    fn finder_key(&self, head: [u8; HEAD], scope: &str) -> Text {
        let mut full = Text::from(&head);
        // Each part tells where it ends, and the scope is the last.
        self.args.iter().for_each(|datum| push_binary(&mut full, datum));
        if matches!(self.from, From::List(_)) {
            self.push_binary_window(&mut full);
        }
        full.extend_from_slice(scope.as_bytes());
        full
    }

    /// The key of any other read.
    #[cold]
    fn text_key(&self, shape: &ShapeTable, scope: &str) -> Text {
        let key = self.key(shape, scope);
        let mut full =
            Text::from(&head((self.schema.group)(), KeyKind::Text, (0, shape.kind), key.fingerprint));
        full.extend_from_slice(&key.full);
        full
    }

    fn push_binary_window(&self, full: &mut Text) {
        // What there is, each with a byte in front that no other begins with; then the end.
        for order in &self.order {
            full.push(1 + u8::from(order.direction == Direction::Descending));
            full.extend_from_slice(&order.column.to_le_bytes());
        }
        for (word, number) in [(3, self.limit), (4, self.offset)] {
            if let Some(number) = number {
                full.push(word);
                full.extend_from_slice(&number.to_le_bytes());
            }
        }
        full.push(0);
    }

    /// The arguments of a finder in its key, and what it says of order and length.
    fn push_arguments(&self, full: &mut Text) {
        push_data(full, &self.args);
        if matches!(self.from, From::List(_)) {
            full.push(b':');
            push_window(full, &self.order, self.limit, self.offset, |at| {
                self.schema.columns.get(at).map_or("?", |def| def.name)
            });
        }
    }

    /// The name that ends the answer, its [fingerprint](KeyText::fingerprint), both as of its [`key`](Self::key): where the
    /// arguments of a finder stand in it as they are, it is put together at once.
    pub(crate) fn own_name(&self, shape: &ShapeTable, scope: &str) -> (StampName, u64) {
        if let (From::Row(index) | From::List(index), true) = (self.from, self.plain(shape)) {
            let mut name = Text::from(scope);
            name.extend_from_slice(KEY_KIND.as_bytes());
            name.extend_from_slice(index.prefix.as_bytes());
            let before = name.len();
            self.push_arguments(&mut name);
            if name.len() - before <= depends::LONGEST
                && let Ok(name) = std::str::from_utf8(&name)
            {
                return (StampName::from_text(name), self.fingerprint(shape));
            }
        }
        // Whatever the scope is: the logical key is without it.
        let key = self.key(shape, "");
        (StampName::of_key(scope, &key.logical()), key.fingerprint)
    }

    /// The key as text.
    pub(crate) fn key(&self, shape: &ShapeTable, scope: &str) -> KeyText {
        let mut full = Text::new();
        full.extend_from_slice(scope.as_bytes());
        let scope_end = full.len();
        let plain = self.plain(shape);
        let prefix_end;
        if let (From::Row(index) | From::List(index), true) = (self.from, plain) {
            full.extend_from_slice(index.prefix.as_bytes());
            prefix_end = full.len();
            self.push_arguments(&mut full);
        } else {
            let family = self.rest().family.as_deref().unwrap_or(self.schema.table);
            for part in [family, ":", shape.word, ":"] {
                full.extend_from_slice(part.as_bytes());
            }
            prefix_end = full.len();
            let mut form = Vec::new();
            if let Some(condition) = self.condition() {
                put_condition(&mut form, &condition);
            }
            full.extend_from_slice(&form);
            if let Some(column) = self.rest().distinct.and_then(|at| self.schema.columns.get(at)) {
                full.push(0);
                full.extend_from_slice(column.name.as_bytes());
            }
            if shape.fetch.windowed() {
                full.push(0);
                push_window(&mut full, &self.order, self.limit, self.offset, |at| {
                    self.schema.columns.get(at).map_or("?", |def| def.name)
                });
            }
        }
        let fingerprint = self.fingerprint(shape);
        KeyText { full, scope_end, prefix_end, opaque: !plain, fingerprint }
    }

    /// The stamps of the answer, without scope, and without the key's own, which is the first.
    ///
    /// `namespaces` is how many the engine adds.
    pub(crate) fn other_names(
        &self,
        condition: Option<&Condition>,
        namespaces: usize,
    ) -> Result<Vec<String>> {
        let row = matches!(self.from, From::Row(_));
        let family = if row { self.schema.family } else { self.schema.table };
        let mut names = vec![depends::family_name(family)];
        if let Some(family) = &self.rest().family {
            if family.is_empty() {
                let message = "an empty name of a list: write a word such as `active_users`";
                return Err(Error::new(ErrorKind::InvalidQuery, message).with_model(self.schema.model));
            }
            names.push(depends::family_name(family));
        }
        if !row {
            depends::read_names(self.schema, condition, &mut names);
        }
        let model = self.schema.policy.tags.iter().copied();
        for tag in model.chain(self.options.tags().iter().map(|tag| &**tag)) {
            let name = format!("t:{tag}");
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if 1 + names.len() + namespaces > MAX_STAMPS {
            return Err(Error::new(
                ErrorKind::InvalidQuery,
                format!(
                    "too many tags: what a value depends on has at most {MAX_STAMPS} names, its tags included"
                ),
            )
            .with_model(self.schema.model));
        }
        Ok(names)
    }

    /// The reads that answer it: one, or two for a page.
    pub(crate) fn plans(&self, fetch: Fetch, condition: Option<Condition>) -> (ReadPlan, Option<ReadPlan>) {
        let plan = ReadPlan {
            schema: self.schema,
            ask: Ask::Rows,
            filter: condition,
            order: self.order.clone(),
            limit: self.limit,
            offset: self.offset,
            for_update: false,
            single: self.row().is_some(),
        };
        let bare = |ask: Ask, plan: &ReadPlan| ReadPlan {
            ask,
            order: Few::None,
            limit: None,
            offset: None,
            ..plan.clone()
        };
        match fetch {
            Fetch::Rows => (plan, None),
            Fetch::Count => (bare(Ask::Count, &plan), None),
            Fetch::Distinct => {
                let ask = Ask::Distinct(self.rest().distinct.unwrap_or_default());
                (ReadPlan { ask, order: Few::None, ..plan }, None)
            }
            Fetch::Exists => (bare(Ask::Exists, &plan), None),
            Fetch::Page => {
                let total = bare(Ask::Count, &plan);
                (plan, Some(total))
            }
        }
    }
}
