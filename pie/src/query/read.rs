//! The one generic query, and the future that resolves a hit in memory without a box.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::delete::Delete;
use super::options::cache_options;
use super::policy::Options;
use super::shape::{Answer, Count, Distinct, Exists, First, One, Paged, Required, Rows, Shape};
use super::spec::{Args, From, Spec};
use super::update::Update;
use super::{Target, Told};
use crate::cache::BoxFuture;
use crate::engine::read::Step;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Column, Model, Value};
use crate::plan::OrderBy;
use crate::plan::filter::{Condition, Filter};
use crate::plan::text::{Text, push_escaped};

/// A read of model `M` that gives a [`Shape`] when awaited.
///
/// | made by | awaiting it gives |
/// |---|---|
/// | `User::find_by_id`, `User::find_by_<unique>` | `Option<Cached<User>>` |
/// | `User::list_by_<index>`, `User::query` | `Cached<Vec<User>>` |
/// | `.first()` | `Option<Cached<User>>`: the first row |
/// | `.one()` | `Option<Cached<User>>`: the only row; [`ErrorKind::TooManyRows`] for several |
/// | `.required()` on each of them | `Cached<User>`; [`ErrorKind::NotFound`] for none |
/// | `.count()` | `u64` |
/// | `.exists()` | `bool` |
/// | `.distinct(User::STATUS)` | `Cached<Vec<String>>`: the values a column has |
/// | `.page(1, 20)` | `Cached<Page<User>>`: rows and total |
///
/// An answer from memory resolves at the first poll, without a boxed future. Dropping the future at any point leaves
/// nothing behind but, perhaps, a filled cache.
///
/// # Errors
/// Awaiting it fails when the database does; never because of a cache layer.
///
/// # Examples
///
/// ```
/// # use pie::prelude::*;
/// # use std::time::Duration;
/// # #[derive(Debug, Clone, Model)]
/// # #[cached(ttl = "5m")]
/// # struct User { #[pie(id, auto)] id: i64, #[pie(index)] status: String, age: i32 }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> pie::Result<()> {
/// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
/// # engine.create_tables::<(User,)>().await?;
/// let adults = User::query(&engine)
///     .filter(User::AGE.ge(18).and(User::STATUS.ne("gone")))
///     .order_by(User::AGE.desc())
///     .order_by(User::ID.asc())
///     .limit(20)
///     .cache(Duration::from_secs(600))
///     .tags(["adults"])
///     .await?;
/// let page = User::list_by_status(&engine, "active").order_by(User::ID.asc()).page(2, 50).await?;
/// let any = User::query(&engine).filter(User::AGE.gt(100)).exists().await?;
/// # assert!(adults.is_empty() && page.total == 0 && !any);
/// # Ok(())
/// # }
/// ```
#[must_use = "a query does nothing until it is awaited"]
pub struct Query<'a, M, S = Rows> {
    pub(super) on: Target<'a>,
    pub(super) spec: Spec<'a>,
    types: PhantomData<fn() -> (M, S)>,
}

impl<M: Model, S> fmt::Debug for Query<'_, M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query")
            .field("model", &M::SCHEMA.model)
            .field("from", &self.spec.from)
            .finish_non_exhaustive()
    }
}

impl<'a, M: Model, S> Query<'a, M, S> {
    #[inline]
    pub(crate) fn new(on: Target<'a>, from: From, args: Args<'a>) -> Self {
        Self { on, spec: Spec::new(M::SCHEMA, from, args), types: PhantomData }
    }

    #[inline]
    fn shaped<T>(self) -> Query<'a, M, T> {
        Query { on: self.on, spec: self.spec, types: PhantomData }
    }

    fn options_mut(&mut self) -> &mut Options {
        self.spec.options_mut()
    }

    cache_options!();
}

impl<'a, M: Model> Query<'a, M, Rows> {
    /// Only rows that fulfil the filter; several filters must all be fulfilled.
    pub fn filter(mut self, filter: Filter<M>) -> Self {
        let rest = self.spec.rest_mut();
        rest.filter = Some(match rest.filter.take() {
            Some(first) => Condition::All(vec![first, filter.condition]),
            None => filter.condition,
        });
        self
    }

    /// Sorts by a column; a second call sorts rows that are equal in the first. Without any the database chooses.
    pub fn order_by(mut self, order: OrderBy<M>) -> Self {
        self.spec.order_mut().push(order.order);
        self
    }

    /// At most this many rows; 0 gives an empty list.
    pub fn limit(mut self, rows: u64) -> Self {
        self.spec.set_limit(rows);
        self
    }

    /// Leaves out this many rows at the beginning.
    pub fn offset(mut self, rows: u64) -> Self {
        self.spec.set_offset(rows);
        self
    }

    /// Gives the key of the list a family of its own, `active_users:…` instead of that of the table, so that
    /// `delete_by_pattern("active_users:*")` ends it. What a write invalidates does not change: the list goes with the table's
    /// others as well.
    pub fn named(mut self, family: impl AsRef<str>) -> Self {
        let mut escaped = Text::new();
        push_escaped(&mut escaped, family.as_ref().as_bytes());
        self.spec.rest_mut().family = Some(String::from_utf8_lossy(&escaped).replace('~', "%7E").into());
        self
    }

    /// The first row in the order, or none.
    pub fn first(mut self) -> Query<'a, M, First> {
        self.spec.set_limit(self.spec.limit().unwrap_or(1).min(1));
        self.shaped()
    }

    /// The only row, or none; awaiting it fails with [`ErrorKind::TooManyRows`] when several match.
    pub fn one(mut self) -> Query<'a, M, One> {
        self.spec.set_limit(self.spec.limit().unwrap_or(2).min(2));
        self.shaped()
    }

    /// How many rows fulfil the filter; order, limit and offset do not matter.
    pub fn count(self) -> Query<'a, M, Count> {
        self.shaped()
    }

    /// The values that a column has in the rows that fulfil the filter, each once, smallest first: `Cached<Vec<T>>`. An order
    /// does not matter; limit and offset count values.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # #[derive(Debug, Clone, Model)]
    /// # struct User { #[pie(id, auto)] id: i64, status: String, age: i32 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// # engine.create_tables::<(User,)>().await?;
    /// let known: Cached<Vec<String>> = User::query(&engine).filter(User::AGE.ge(18)).distinct(User::STATUS).await?;
    /// # assert!(known.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn distinct<T>(mut self, column: Column<M, T>) -> Query<'a, M, Distinct<T>>
    where
        T: Value + Send + Sync + 'static,
    {
        self.spec.rest_mut().distinct = Some(column.index());
        self.shaped()
    }

    /// Whether any row fulfils the filter; order, limit and offset do not matter.
    pub fn exists(self) -> Query<'a, M, Exists> {
        self.shaped()
    }

    /// One page of the rows and their total number, from two statements. The first page is number 1; pages beyond the last
    /// one are empty. Limit and offset are the page's.
    ///
    /// Awaiting it fails with [`ErrorKind::InvalidQuery`] for page 0 or size 0. Sort by something unique, or rows may
    /// stand on two pages.
    pub fn page(mut self, number: u64, size: u64) -> Query<'a, M, Paged> {
        self.spec.rest_mut().page = (number, size);
        self.spec.set_limit(size);
        self.spec.set_offset(number.saturating_sub(1).saturating_mul(size));
        self.shaped()
    }

    /// Changes the rows instead of reading them.
    pub fn update(self) -> Update<'a, M> {
        Update::new(self.on, self.spec)
    }

    /// Deletes the rows instead of reading them.
    pub fn delete(self) -> Delete<'a, M> {
        Delete::new(self.on, self.spec)
    }
}

impl<'a, M: Model> Query<'a, M, First> {
    /// The row itself; awaiting it fails with [`ErrorKind::NotFound`] when there is none.
    #[inline]
    pub fn required(self) -> Query<'a, M, Required<First>> {
        self.shaped()
    }
}

impl<'a, M: Model> Query<'a, M, One> {
    /// The row itself; awaiting it fails with [`ErrorKind::NotFound`] when there is none.
    #[inline]
    pub fn required(self) -> Query<'a, M, Required<One>> {
        self.shaped()
    }
}

impl<'a, M: Model, S: Shape<M>> IntoFuture for Query<'a, M, S> {
    type Output = Result<S::Output>;
    type IntoFuture = QueryFuture<'a, M, S>;

    #[inline]
    fn into_future(self) -> Self::IntoFuture {
        QueryFuture { step: Step::Start { on: self.on, spec: self.spec }, types: PhantomData }
    }
}

/// The future of a [`Query`]: answers from memory at the first poll, else goes on in a box.
#[must_use = "futures do nothing unless polled"]
pub struct QueryFuture<'a, M, S> {
    step: Step<'a>,
    types: PhantomData<fn() -> (M, S)>,
}

impl<M: Model, S> fmt::Debug for QueryFuture<'_, M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryFuture").field("model", &M::SCHEMA.model).finish_non_exhaustive()
    }
}

impl<M: Model, S: Shape<M>> Future for QueryFuture<'_, M, S> {
    type Output = Result<S::Output>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut told = Told::LOADED;
        let answer = match self.step.at_once(S::TABLE, &mut told).seen() {
            Some(sight) => Ok(Answer::lent(sight, told)),
            None => match self.step.go_on(context, S::TABLE) {
                Poll::Ready(answer) => answer,
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(answer.and_then(S::finish).map_err(|error| error.with_model(M::SCHEMA.model)))
    }
}

/// A page number or size that cannot be.
pub(crate) fn check_page(page: (u64, u64)) -> Result<()> {
    match page {
        (0, _) => Err(Error::new(ErrorKind::InvalidQuery, "page 0: the first page is number 1")),
        (_, 0) => Err(Error::new(ErrorKind::InvalidQuery, "pages of 0 rows: write a size of 1 or more")),
        _ => Ok(()),
    }
}

/// What a query awaits in its box.
pub(crate) type Slow<'a> = BoxFuture<'a, Result<super::shape::Answer>>;
