//! The statistics for the `metrics` facade, and so for Prometheus, StatsD and whatever else has a recorder for it.
//!
//! A hit costs nothing more for it: counters are ours, and what they grew by is handed over when
//! [`Cache::publish_metrics`] is called. Times are recorded as they are measured. Labels are names known at compile time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::{Label, Unit};

use super::health::BreakerState;
use super::manager::Cache;

/// A metric and its labels.
type Name = (&'static str, [(&'static str, &'static str); 2]);

/// What was handed over so far; so that several engines in one process add up.
#[derive(Debug, Default)]
pub(crate) struct Published(Mutex<HashMap<Name, u64>>);

const COUNTERS: [(&str, &str); 13] = [
    ("pie_lookups_total", "Look-ups, by model or function and result"),
    ("pie_loads_total", "Loads from the database on behalf of look-ups"),
    ("pie_failed_loads_total", "Loads that failed"),
    ("pie_joins_total", "Look-ups that waited for another one's load"),
    ("pie_stale_total", "Answers past their time to live"),
    ("pie_undecodable_total", "Stored values that could not be read"),
    ("pie_oversized_total", "Values too large to be stored"),
    ("pie_layer_lookups_total", "Questions a layer was asked, by result"),
    ("pie_layer_sets_total", "Values stored in a layer"),
    ("pie_layer_errors_total", "Calls of a layer that failed"),
    ("pie_layer_evicted_total", "Entries a layer dropped to make room"),
    ("pie_invalidations_total", "Invalidations"),
    ("pie_breaker_opened_total", "Times that a server of a layer was given up until it answered again"),
];

fn labels(name: &Name) -> Vec<Label> {
    name.1
        .iter()
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| Label::from_static_parts(key, value))
        .collect()
}

impl Published {
    /// Hands over what a counter grew by.
    fn counter(&self, name: Name, value: u64) {
        let before = self.replace(name, value);
        metrics::counter!(name.0, labels(&name)).increment(value.saturating_sub(before));
    }

    /// Hands over what a number changed by.
    fn gauge(&self, name: Name, value: u64) {
        let before = self.replace(name, value);
        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!(name.0, labels(&name)).increment(value as f64 - before as f64);
    }

    fn replace(&self, name: Name, value: u64) -> u64 {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(name, value).unwrap_or(0)
    }
}

/// Records how long a load took.
pub(crate) fn load_time(of: &'static str, time: Duration) {
    metrics::histogram!("pie_load_seconds", "of" => of).record(time.as_secs_f64());
}

/// Records how long a shared layer took to answer.
pub(crate) fn layer_time(layer: &'static str, time: Duration) {
    metrics::histogram!("pie_layer_seconds", "layer" => layer).record(time.as_secs_f64());
}

impl Cache {
    /// Hands the statistics to the recorder of the `metrics` facade that the program has installed (feature `metrics`). Call
    /// it before each scrape, or every few seconds.
    ///
    /// | metric | labels |
    /// |---|---|
    /// | `pie_lookups_total` | `of` (model or function), `result` (`hit`, `miss`) |
    /// | `pie_loads_total`, `pie_failed_loads_total`, `pie_joins_total`, `pie_stale_total`, `pie_undecodable_total`, `pie_oversized_total` | `of` |
    /// | `pie_load_seconds` (histogram, recorded as it is measured) | `of` |
    /// | `pie_layer_lookups_total` | `layer`, `result` |
    /// | `pie_layer_sets_total`, `pie_layer_errors_total`, `pie_layer_evicted_total` | `layer` |
    /// | `pie_layer_seconds` (histogram, recorded as it is measured) | `layer`, shared ones only |
    /// | `pie_layer_keys`, `pie_layer_bytes` (gauges) | `layer`, where the layer counts them |
    /// | `pie_breaker_open`, `pie_layer_full` (gauges), `pie_breaker_opened_total` | `layer`, shared ones only |
    /// | `pie_invalidations_total`, `pie_messages_total`, `pie_message_gaps_total` | |
    /// | `pie_unsent_invalidations`, `pie_detached` (gauges) | |
    ///
    /// Several engines of one process add up. Counters begin when the engine is built, not when the recorder is installed.
    pub fn publish_metrics(&self) {
        for (name, text) in COUNTERS {
            metrics::describe_counter!(name, text);
        }
        metrics::describe_histogram!("pie_load_seconds", Unit::Seconds, "How long loads took");
        metrics::describe_histogram!(
            "pie_layer_seconds",
            Unit::Seconds,
            "How long shared layers took to answer"
        );
        let published = &self.chain.published;
        let report = self.report();
        let none = ("", "");
        for group in &report.groups {
            let of = ("of", group.name);
            published.counter(("pie_lookups_total", [of, ("result", "hit")]), group.hits);
            published.counter(("pie_lookups_total", [of, ("result", "miss")]), group.misses);
            for (name, value) in [
                ("pie_loads_total", group.loads),
                ("pie_failed_loads_total", group.failed_loads),
                ("pie_joins_total", group.joins),
                ("pie_stale_total", group.stale),
                ("pie_undecodable_total", group.undecodable),
                ("pie_oversized_total", group.oversized),
            ] {
                published.counter((name, [of, none]), value);
            }
        }
        for layer in &report.layers {
            let label = ("layer", layer.name);
            published.counter(("pie_layer_lookups_total", [label, ("result", "hit")]), layer.hits);
            published.counter(("pie_layer_lookups_total", [label, ("result", "miss")]), layer.misses);
            published.counter(("pie_layer_sets_total", [label, none]), layer.sets);
            published.counter(("pie_layer_errors_total", [label, none]), layer.errors);
            published.counter(("pie_layer_evicted_total", [label, none]), layer.evicted_keys);
            for (name, value) in [("pie_layer_keys", layer.keys), ("pie_layer_bytes", layer.size)] {
                if let Some(value) = value {
                    published.gauge((name, [label, none]), value);
                }
            }
        }
        for layer in self.chain.health().layers {
            let Some(shared) = layer.shared else { continue };
            let label = ("layer", layer.name);
            let open = u64::from(!matches!(shared.breaker(), BreakerState::Closed | BreakerState::Idle));
            published.gauge(("pie_breaker_open", [label, none]), open);
            let opened = shared.nodes.iter().map(|node| node.opened).sum();
            published.counter(("pie_breaker_opened_total", [label, none]), opened);
            published.gauge(("pie_layer_full", [label, none]), u64::from(shared.full));
        }
        published.counter(("pie_invalidations_total", [none; 2]), report.stats.invalidations);
        published.counter(("pie_messages_total", [none; 2]), report.messages.received);
        published.counter(("pie_message_gaps_total", [none; 2]), report.messages.gaps);
        published.gauge(("pie_unsent_invalidations", [none; 2]), report.messages.unsent);
        published.gauge(("pie_detached", [none; 2]), u64::from(!report.messages.attached));
    }
}
