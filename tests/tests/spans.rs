//! The spans of reads, loads and writes. Alone in its program: a subscriber of one thread misses spans that another thread met first
//! at the same moment.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use pie::prelude::*;
use pie::testing;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m", jitter = "0s")]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
}

async fn engine() -> Engine {
    let builder = Engine::builder().database("sqlite::memory:").config(testing::config());
    let engine = builder.build().await.expect("builds");
    engine.create_tables::<(User,)>().await.expect("creates");
    User::insert(&engine, NewUser { name: "secret name".into() }).await.expect("inserts");
    engine
}

/// Keeps the names and fields of spans.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<BTreeSet<String>>>);

struct Fields(String);

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl<S: tracing::Subscriber> Layer<S> for Spans {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        _: &tracing::span::Id,
        _: Context<'_, S>,
    ) {
        let mut fields = Fields(attributes.metadata().name().to_owned());
        attributes.record(&mut fields);
        if fields.0.starts_with("pie.") {
            self.0.lock().expect("no panic").insert(fields.0);
        }
    }
}

#[test]
fn reads_loads_and_writes_have_spans_without_values() {
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("builds");
        runtime.block_on(async {
            let engine = engine().await;
            User::find_by_id(&engine, 1).await.expect("answers");
            User::find_by_id(&engine, 1).await.expect("answers");
            User::update_by_id(&engine, 1).name("another secret name").await.expect("updates");
        });
    });
    let spans = spans.0.lock().expect("no panic").clone();
    for wanted in [
        r#"pie.load of="User" values=1"#,
        r#"pie.read model="User" query="find_by_id""#,
        r#"pie.write model="User" query="insert""#,
        r#"pie.write model="User" query="update_by_id""#,
    ] {
        assert!(spans.contains(wanted), "{wanted}: {spans:?}");
    }
    assert!(!format!("{spans:?}").contains("secret"), "{spans:?}");
}
