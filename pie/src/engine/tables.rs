//! Several models as one type: `(User, Order)`.

use crate::model::{Model, Schema};

/// A tuple of models, for [`Engine::create_tables`](crate::Engine::create_tables).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no tuple of models",
    label = "expected a tuple of models",
    note = "a single model is a tuple of one: `(User,)`"
)]
pub trait Tables {
    /// Their schemas, in order.
    fn schemas() -> Vec<&'static Schema>;
}

/// No model at all: what a raw statement [touches](crate::query::raw::Sql::touches) that writes to none.
impl Tables for () {
    fn schemas() -> Vec<&'static Schema> {
        Vec::new()
    }
}

macro_rules! tables {
    ($($name:ident)+) => {
        impl<$($name: Model),+> Tables for ($($name,)+) {
            fn schemas() -> Vec<&'static Schema> {
                vec![$($name::SCHEMA),+]
            }
        }
    };
}

tables!(A);
tables!(A B);
tables!(A B C);
tables!(A B C D);
tables!(A B C D E);
tables!(A B C D E F);
tables!(A B C D E F G);
tables!(A B C D E F G H);
tables!(A B C D E F G H I);
tables!(A B C D E F G H I J);
tables!(A B C D E F G H I J K);
tables!(A B C D E F G H I J K L);
