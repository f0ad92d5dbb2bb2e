//! The statements that reached the database, as sqlx reports them, and the warnings pie logged.

use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, MutexGuard};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

static STATEMENTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static EVENTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static ONE_AT_A_TIME: AsyncMutex<()> = AsyncMutex::const_new(());

struct Recorder;

#[derive(Default)]
struct Fields {
    summary: String,
    statement: String,
    all: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.statement),
            _ => self.all.push_str(&format!(" {}={value}", field.name())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.all.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl<S: tracing::Subscriber> Layer<S> for Recorder {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let target = event.metadata().target();
        if target == "sqlx::query" {
            // sqlx leaves the statement empty where the summary is all of it.
            let full = if fields.statement.trim().is_empty() { fields.summary } else { fields.statement };
            let one_line = full.split_whitespace().collect::<Vec<_>>().join(" ");
            if *event.metadata().level() == tracing::Level::WARN {
                let slow = format!("WARN slow statement: {one_line}");
                EVENTS.lock().unwrap_or_else(PoisonError::into_inner).push(slow);
            }
            STATEMENTS.lock().unwrap_or_else(PoisonError::into_inner).push(one_line);
        } else if target.starts_with("pie") {
            let line = format!("{}{}", event.metadata().level(), fields.all);
            EVENTS.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }
}

/// The log of this process, for one test at a time.
pub struct Log {
    _alone: MutexGuard<'static, ()>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log")
    }
}

impl Log {
    /// Waits for the other tests of this process that read the log, and begins an empty one. Every test of a binary that
    /// reads the log has to take it, or its statements count for another.
    pub async fn start() -> Self {
        static INSTALLED: OnceLock<()> = OnceLock::new();
        INSTALLED.get_or_init(|| {
            let subscriber = tracing_subscriber::registry().with(Recorder);
            // Another subscriber cannot be there: nothing else in this binary installs one.
            let _ = tracing::subscriber::set_global_default(subscriber);
        });
        let alone = ONE_AT_A_TIME.lock().await;
        let log = Self { _alone: alone };
        log.clear();
        log
    }

    /// Forgets everything so far.
    pub fn clear(&self) {
        STATEMENTS.lock().unwrap_or_else(PoisonError::into_inner).clear();
        EVENTS.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The statements since the last call, without settings and without those that begin and end transactions.
    #[must_use]
    pub fn statements(&self) -> Vec<String> {
        const ASIDE: [&str; 8] =
            ["PRAGMA", "SET ", "START ", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"];
        let mut all = STATEMENTS.lock().unwrap_or_else(PoisonError::into_inner);
        all.drain(..).filter(|statement| !ASIDE.iter().any(|word| statement.starts_with(word))).collect()
    }

    /// What pie itself logged, one line for each event.
    #[must_use]
    pub fn events(&self) -> Vec<String> {
        EVENTS.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
