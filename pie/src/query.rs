//! What people write: the one generic [`Query`], the builders of writes, and [`Cached`] answers.

mod cached;
mod delete;
pub(crate) mod explain;
mod find_many;
mod insert;
mod options;
pub(crate) mod policy;
pub(crate) mod raw;
pub(crate) mod read;
pub(crate) mod shape;
pub(crate) mod spec;
mod told;
mod update;

pub use cached::Cached;
pub use delete::{Delete, DeleteOne};
pub use explain::{Dependency, EndedBy, ExplainedRead, Explanation, ModelExplanation};
pub use find_many::FindMany;
pub use insert::{Insert, InsertMany, Upsert};
pub use raw::{FromRaw, Sql};
pub use read::{Query, QueryFuture};
pub use shape::{Count, Distinct, Exists, First, One, Page, Paged, Required, Rows, Shape};
pub use told::Source;
pub(crate) use told::Told;
pub use update::{Update, UpdateOne};

use crate::engine::{Engine, Tx};
use crate::function::Via;

/// Where a query runs: on the engine, or in a transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'a> {
    Engine(&'a Engine),
    Tx(&'a Tx),
}

impl Target<'_> {
    pub(crate) fn engine(&self) -> &Engine {
        match self {
            Self::Engine(engine) => engine,
            Self::Tx(tx) => tx.engine(),
        }
    }
}

mod sealed {
    use super::Target;

    pub trait Sealed {
        #[expect(private_interfaces, reason = "only this crate calls it")]
        fn target(&self) -> Target<'_>;
    }
}

/// Where queries run: an [`Engine`] or a [`Tx`].
///
/// Always taken as a shared reference: two reads may run at once on one engine; on a transaction they queue.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not something a query can run on",
    label = "expected an `Engine` or a `Tx`"
)]
pub trait Handle: sealed::Sealed + Sync {
    /// This handle, as a cached function has it.
    #[doc(hidden)]
    fn via(&self) -> Via<'_> {
        Via::of(self.target())
    }
}

#[expect(private_interfaces, reason = "only this crate calls it")]
impl sealed::Sealed for Engine {
    fn target(&self) -> Target<'_> {
        Target::Engine(self)
    }
}
impl Handle for Engine {}

#[expect(private_interfaces, reason = "only this crate calls it")]
impl sealed::Sealed for Tx {
    fn target(&self) -> Target<'_> {
        Target::Tx(self)
    }
}
impl Handle for Tx {}

#[expect(private_interfaces, reason = "only this crate calls it")]
impl<H: Handle + ?Sized> sealed::Sealed for &H {
    fn target(&self) -> Target<'_> {
        (**self).target()
    }
}
impl<H: Handle + ?Sized> Handle for &H {}

#[expect(private_interfaces, reason = "only this crate calls it")]
impl<H: Handle + Send> sealed::Sealed for std::sync::Arc<H> {
    fn target(&self) -> Target<'_> {
        (**self).target()
    }
}
impl<H: Handle + Send> Handle for std::sync::Arc<H> {}
