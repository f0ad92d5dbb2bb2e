//! Whether the layers work: for a health check, an alert, a person at night.

use std::fmt;
use std::time::Duration;

/// Whether calls go through to something that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerState {
    /// Nobody has asked it yet, or the first answer is awaited.
    Idle,
    /// It is used.
    Closed,
    /// It failed; it is being tried right now, and calls fail at once meanwhile.
    HalfOpen,
    /// It failed, and is tried again after a pause; calls fail at once.
    Open,
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        })
    }
}

/// One server of a shared layer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeHealth {
    /// Where it is; without user name and password.
    pub address: String,
    /// Whether it is used.
    pub breaker: BreakerState,
    /// For how long the breaker has been closed, or not.
    pub since: Duration,
    /// How often the breaker opened.
    pub opened: u64,
    /// What is wrong, while something is.
    pub trouble: Option<String>,
    /// Commands its user may not run; the log said at the first connection what does not work without them.
    pub missing_rights: Vec<&'static str>,
}

impl NodeHealth {
    /// A server at an address, in a state.
    #[must_use]
    pub fn new(address: impl Into<String>, breaker: BreakerState) -> Self {
        Self {
            address: address.into(),
            breaker,
            since: Duration::ZERO,
            opened: 0,
            trouble: None,
            missing_rights: Vec::new(),
        }
    }
}

/// How a layer that several processes share is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedHealth {
    /// Its servers, as far as they are known; empty for a layer that does not tell.
    pub nodes: Vec<NodeHealth>,
    /// Whether it has no room: what it has is still read, nothing new is stored.
    pub full: bool,
}

impl SharedHealth {
    /// A layer with these servers.
    #[must_use]
    pub fn new(nodes: Vec<NodeHealth>) -> Self {
        Self { nodes, full: false }
    }

    /// The worst state of its servers: `Open` if any is open. `Closed` for a layer that does not tell.
    #[must_use]
    pub fn breaker(&self) -> BreakerState {
        let any = |state| self.nodes.iter().any(|node| node.breaker == state);
        [BreakerState::Open, BreakerState::HalfOpen, BreakerState::Idle]
            .into_iter()
            .find(|state| any(*state))
            .unwrap_or(BreakerState::Closed)
    }
}

/// How one layer is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerHealth {
    /// The name of the layer.
    pub name: &'static str,
    /// Calls of it that failed since the engine was built.
    pub errors: u64,
    /// Invalidations that could not be sent to it yet. Nothing in it is trusted before they are.
    pub unsent: u64,
    /// Its servers, where other processes share it.
    pub shared: Option<SharedHealth>,
}

/// How the layers of an engine are doing; from [`Engine::health`](crate::Engine::health).
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> pie::Result<()> {
/// let engine = pie::Engine::builder().database("sqlite::memory:").build().await?;
/// let health = engine.health();
/// assert!(health.is_ok());
/// assert_eq!((health.unsent(), health.attached), (0, true));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The layers, the fastest first.
    pub layers: Vec<LayerHealth>,
    /// Whether messages of other processes arrive. Always `true` without a layer that hears other processes.
    pub attached: bool,
    /// How long the last message took from its sender to here; heartbeats of this process included.
    pub lag: Duration,
}

impl Health {
    /// Whether everything works: no breaker is open, nothing is unsent, messages arrive and every layer has room. A layer that
    /// nobody has asked yet is fine.
    ///
    /// An engine that is not well still answers every query, from memory and the database: this is for an alert, not for taking
    /// the process out of service.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        let well = |layer: &LayerHealth| {
            layer.unsent == 0
                && layer.shared.as_ref().is_none_or(|shared| {
                    !shared.full && matches!(shared.breaker(), BreakerState::Closed | BreakerState::Idle)
                })
        };
        let idle = |layer: &LayerHealth| {
            layer.shared.as_ref().is_some_and(|shared| shared.breaker() == BreakerState::Idle)
        };
        (self.attached || self.layers.iter().any(idle)) && self.layers.iter().all(well)
    }

    /// How many invalidations could not be sent yet.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.layers.iter().map(|layer| layer.unsent).sum()
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages = if self.attached { "arrive" } else { "do not arrive" };
        write!(f, "messages {messages}, {:?} late", self.lag)?;
        for layer in &self.layers {
            write!(f, "\n{}: {} errors", layer.name, layer.errors)?;
            let Some(shared) = &layer.shared else { continue };
            write!(f, ", {} unsent{}", layer.unsent, if shared.full { ", full" } else { "" })?;
            for node in &shared.nodes {
                write!(f, "\n  {}: {} for {:.0?}", node.address, node.breaker, node.since)?;
                if let Some(trouble) = &node.trouble {
                    write!(f, ": {trouble}")?;
                }
                if !node.missing_rights.is_empty() {
                    write!(f, "; may not run {}", node.missing_rights.join(", "))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(states: &[BreakerState]) -> Health {
        let nodes = states.iter().map(|state| NodeHealth::new("host:1", *state)).collect();
        let layer =
            LayerHealth { name: "redis", errors: 2, unsent: 0, shared: Some(SharedHealth::new(nodes)) };
        Health { layers: vec![layer], attached: true, lag: Duration::ZERO }
    }

    #[test]
    fn it_is_well_unless_something_is_not() {
        use BreakerState::{Closed, HalfOpen, Idle, Open};
        for (states, ok) in [
            (&[Closed][..], true),
            (&[Idle], true),
            (&[Closed, Open], false),
            (&[HalfOpen], false),
            (&[], true),
        ] {
            assert_eq!(health(states).is_ok(), ok, "{states:?}");
        }
        let mut deaf = health(&[Closed]);
        deaf.attached = false;
        assert!(!deaf.is_ok());
        let mut queued = health(&[Closed]);
        queued.layers[0].unsent = 1;
        assert!(!queued.is_ok() && queued.unsent() == 1);
        let mut full = health(&[Closed]);
        if let Some(shared) = &mut full.layers[0].shared {
            shared.full = true;
        }
        assert!(!full.is_ok() && full.to_string().contains("full"));
    }
}
