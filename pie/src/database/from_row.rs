//! Models as rows of plain sqlx: `sqlx::query_as::<_, User>(..)`, for every driver that is switched on.
//!
//! The derive writes one line for each model, and what it becomes depends on the features of this crate: generated code has no `cfg`,
//! which would ask for the features of the program instead.

/// The model of a row of SQLite.
///
/// # Errors
/// A column is missing, or holds what its field refuses.
#[cfg(feature = "sqlite")]
pub fn sqlite<M: crate::Model>(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<M> {
    super::pooled::model::<sqlx::Sqlite, M>(row)
}

/// The model of a row of PostgreSQL.
///
/// # Errors
/// A column is missing, or holds what its field refuses.
#[cfg(feature = "postgres")]
pub fn postgres<M: crate::Model>(row: &sqlx::postgres::PgRow) -> sqlx::Result<M> {
    super::pooled::model::<sqlx::Postgres, M>(row)
}

/// The model of a row of MySQL.
///
/// # Errors
/// A column is missing, or holds what its field refuses.
#[cfg(feature = "mysql")]
pub fn mysql<M: crate::Model>(row: &sqlx::mysql::MySqlRow) -> sqlx::Result<M> {
    super::pooled::model::<sqlx::MySql, M>(row)
}

/// `sqlx::FromRow` of a model for one driver, if that is switched on.
macro_rules! driver {
    ($feature:literal, $name:ident, $module:ident, $Row:ident) => {
        #[cfg(feature = $feature)]
        driver!(@on ($) $name, $module, $Row);
        #[cfg(not(feature = $feature))]
        driver!(@off ($) $name);
    };
    (@on ($d:tt) $name:ident, $module:ident, $Row:ident) => {
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $name {
            ($d Model:ty) => {
                #[automatically_derived]
                impl<'r> $d crate::__private::sqlx::FromRow<'r, $d crate::__private::sqlx::$module::$Row> for $d Model {
                    fn from_row(
                        row: &'r $d crate::__private::sqlx::$module::$Row,
                    ) -> $d crate::__private::Result<Self, $d crate::__private::sqlx::Error> {
                        $d crate::__private::from_row::$module(row)
                    }
                }
            };
        }
    };
    (@off ($d:tt) $name:ident) => {
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $name {
            ($d Model:ty) => {};
        }
    };
}

driver!("sqlite", __sqlite_row, sqlite, SqliteRow);
driver!("postgres", __postgres_row, postgres, PgRow);
driver!("mysql", __mysql_row, mysql, MySqlRow);

/// `sqlx::FromRow` of a model for every driver that is switched on.
#[doc(hidden)]
#[macro_export]
macro_rules! __from_rows {
    ($Model:ty) => {
        $crate::__sqlite_row!($Model);
        $crate::__postgres_row!($Model);
        $crate::__mysql_row!($Model);
    };
}
