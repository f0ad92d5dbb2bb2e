//! Servers that the property test runs on: `scripts/test` starts them and says where they are.

use std::cell::Cell;
use std::env;
use std::sync::Arc;

use crate::database::{Database, DatabaseOptions};
use crate::error::Result;

/// A server, and how it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    #[cfg(feature = "postgres")]
    Postgres,
    #[cfg(feature = "mysql")]
    MariaDb,
    /// MariaDB, without what MySQL does not have.
    #[cfg(feature = "mysql")]
    MySql,
    #[cfg(feature = "mongodb")]
    MongoDb,
    /// One with transactions, for one client at a time.
    #[cfg(feature = "mongodb")]
    MongoDbSet,
}

thread_local! {
    static CURRENT: Cell<Option<Server>> = const { Cell::new(None) };
}

/// The server that programs of this thread run on; `None` for SQLite.
pub(super) fn current() -> Option<Server> {
    CURRENT.get()
}

impl Server {
    fn variable(self) -> &'static str {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => "PIE_TEST_POSTGRES_URL",
            #[cfg(feature = "mysql")]
            Self::MariaDb | Self::MySql => "PIE_TEST_MYSQL_URL",
            #[cfg(feature = "mongodb")]
            Self::MongoDb => "PIE_TEST_MONGODB_URL",
            #[cfg(feature = "mongodb")]
            Self::MongoDbSet => "PIE_TEST_MONGODB_SET_URL",
        }
    }

    /// Whether there is one; without, the test says so, and fails under `CI=true`.
    #[allow(clippy::print_stderr, reason = "says aloud that a test did not run")]
    pub(super) fn is_there(self) -> bool {
        let is = env::var(self.variable()).is_ok();
        if !is {
            let why = format!("{} is not set: scripts/test starts the server and sets it", self.variable());
            // Beside a real MongoDB there is no server for one client at a time.
            #[cfg(feature = "mongodb")]
            let beside = self == Self::MongoDbSet && env::var("PIE_TEST_MONGODB_URL").is_ok();
            #[cfg(not(feature = "mongodb"))]
            let beside = false;
            assert!(beside || env::var("CI").as_deref() != Ok("true"), "{why}");
            eprintln!("NOT RUN: {why}");
        }
        is
    }

    /// A new, empty database; from now on this thread's programs are for it.
    pub(super) async fn fresh(self) -> Result<Arc<dyn Database>> {
        CURRENT.set(Some(self));
        let url = env::var(self.variable()).unwrap_or_default();
        let name = format!("p{:016x}", fastrand::u64(..));
        let options = DatabaseOptions { max_connections: 2, ..DatabaseOptions::default() };
        Ok(match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => {
                let admin = crate::database::Postgres::open(&url, options).await?;
                run(&admin, &format!("CREATE SCHEMA {name}")).await?;
                admin.close().await;
                Arc::new(
                    crate::database::Postgres::open(&format!("{url}?options[search_path]={name}"), options)
                        .await?,
                )
            }
            #[cfg(feature = "mysql")]
            Self::MariaDb | Self::MySql => {
                let admin = crate::database::MySql::open(&url, options).await?;
                run(&admin, &format!("CREATE DATABASE {name}")).await?;
                admin.close().await;
                let database = crate::database::MySql::open(&format!("{url}/{name}"), options).await?;
                Arc::new(if self == Self::MySql { database.without_returning() } else { database })
            }
            #[cfg(feature = "mongodb")]
            Self::MongoDb | Self::MongoDbSet => {
                let bad = |_| crate::error::Error::new(crate::error::ErrorKind::InvalidConfig, "no URL");
                let mut url = url::Url::parse(&url).map_err(bad)?;
                url.set_path(&name);
                Arc::new(crate::database::MongoDb::open(url.as_str(), options).await?)
            }
        })
    }
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
async fn run(database: &dyn Database, statement: &str) -> Result<()> {
    let statement = crate::database::RawStatement::new(statement.into(), Vec::new());
    database.session().raw(&statement).await.map(drop)
}
