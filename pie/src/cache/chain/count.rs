//! What was counted, and what is held.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Chain, Level};
use crate::cache::groups::{Group, Holding};
use crate::cache::health::{Health, LayerHealth};
use crate::cache::layer::SharedLayer;
use crate::cache::stats::{CacheStats, LayerStats, MessageStats, Report};

impl Chain {
    pub(crate) fn stats(&self) -> CacheStats {
        CacheStats::of(&self.groups, &self.all_layer_stats(), self.invalidations.get())
    }

    pub(crate) fn report(&self) -> Report {
        let layers = self.all_layer_stats();
        Report {
            stats: CacheStats::of(&self.groups, &layers, self.invalidations.get()),
            layers,
            groups: self.groups.all().map(Group::stats).collect(),
            messages: self.message_stats(),
            health: self.health(),
        }
    }

    /// What the layers of this process hold, by whom it is for, the largest first.
    pub(crate) fn holdings(&self) -> Vec<Holding> {
        let now = self.clock.steady();
        let mut all: Vec<Holding> = Vec::new();
        for level in self.levels().iter().filter(|level| level.layer.shared().is_none()) {
            let layer = level.layer.name();
            let mut found: BTreeMap<(&'static str, &'static str), Holding> = BTreeMap::new();
            level.at_once("visit", |visited| {
                visited.visit(&mut |entry| {
                    let Some(group) = self.groups.at(entry.slot()) else { return };
                    let (name, kind) = (group.name(), group.kind());
                    let empty = Holding { layer, name, kind, keys: 0, size: 0, dead: 0 };
                    let holding = found.entry((name, kind.as_str())).or_insert(empty);
                    holding.keys += 1;
                    holding.size += u64::from(entry.weight());
                    holding.dead +=
                        u64::from(entry.keep_until() <= now || !self.stamps.holds(entry.snapshot()));
                })
            });
            let mut found: Vec<Holding> = found.into_values().collect();
            found.sort_by_key(|holding| std::cmp::Reverse(holding.size));
            all.extend(found);
        }
        all
    }

    pub(crate) fn message_stats(&self) -> MessageStats {
        let unsent = self.look(|levels| {
            levels.iter().filter_map(|level| level.layer.shared()).map(SharedLayer::unsent).sum()
        });
        MessageStats::of(&self.messages, self.is_attached(), unsent)
    }

    pub(crate) fn health(&self) -> Health {
        let of = |level: &Arc<Level>| {
            let shared = level.layer.shared();
            LayerHealth {
                name: level.layer.name(),
                errors: level.counters.errors.get(),
                unsent: shared.map_or(0, SharedLayer::unsent),
                shared: shared.map(SharedLayer::health),
            }
        };
        Health {
            layers: self.look(|levels| levels.iter().map(of).collect()),
            attached: self.is_attached(),
            lag: self.message_stats().lag,
        }
    }

    pub(crate) fn layer_count(&self) -> usize {
        self.look(<[Arc<Level>]>::len)
    }

    fn all_layer_stats(&self) -> Vec<LayerStats> {
        (0..self.layer_count()).filter_map(|at| self.layer_stats(at)).collect()
    }

    pub(crate) fn layer_stats(&self, at: usize) -> Option<LayerStats> {
        // Only the first layer is asked without waiting.
        let at_once = match at {
            0 => self.groups.all().map(|group| group.hits_at_once.get()).sum(),
            _ => 0,
        };
        self.look(|levels| levels.get(at).map(|level| level.stats(at_once)))
    }
}
