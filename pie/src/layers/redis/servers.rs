//! What a layer talks to: one server, or a cluster of them.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::Either;
use redis::{Pipeline, Value};

use super::address::Address;
use super::cluster::Cluster;
use super::layout::Layout;
use super::server::{Condition, Newcomer, Server, Unmarked};
use super::wire::{Deadline, Wire};
use crate::error::{Error, Result};

/// One server, or the shards of a cluster.
pub(crate) enum Servers {
    One(Arc<Server>),
    Cluster(Arc<Cluster>),
}

impl Servers {
    pub(super) fn set_prefix(&self, prefix: &str) {
        match self {
            Self::One(server) => server.set_prefix(prefix),
            Self::Cluster(cluster) => cluster.set_prefix(prefix),
        }
    }

    /// Says what to do before a server is trusted that may have what was removed.
    pub(super) fn on_newcomer(&self, newcomer: Newcomer) {
        match self {
            Self::One(server) => server.on_newcomer(newcomer),
            Self::Cluster(cluster) => cluster.on_newcomer(newcomer),
        }
    }

    /// Where messages are heard.
    pub(super) fn address(&self) -> Address {
        match self {
            Self::One(server) => server.address().clone(),
            Self::Cluster(cluster) => Address::Any(Arc::downgrade(cluster)),
        }
    }

    pub(super) async fn connect(&self) -> Result<()> {
        match self {
            Self::One(server) => server.connect().await,
            Self::Cluster(cluster) => cluster.connect().await,
        }
    }

    pub(super) fn up(&self) -> impl Future<Output = ()> + Send + use<> {
        match self {
            Self::One(server) => Either::Left(server.up()),
            Self::Cluster(cluster) => Either::Right(cluster.up()),
        }
    }

    pub(super) fn close(&self) {
        match self {
            Self::One(server) => server.close(),
            Self::Cluster(cluster) => cluster.close(),
        }
    }

    pub(super) fn conditions(&self) -> Vec<(String, Condition)> {
        match self {
            Self::One(server) => vec![(server.address().to_string(), server.condition())],
            Self::Cluster(cluster) => cluster.conditions(),
        }
    }
}

impl Wire for Servers {
    fn run(&self, pipe: Pipeline, by: Deadline) -> impl Future<Output = Result<Vec<Value>>> + Send {
        match self {
            Self::One(server) => Either::Left(server.run(pipe, by)),
            // In a box, so that the other is not as large.
            Self::Cluster(cluster) => Either::Right(Box::pin(cluster.run(pipe, by))),
        }
    }

    fn run_on(
        &self,
        shard: usize,
        pipe: Pipeline,
        by: Deadline,
    ) -> impl Future<Output = Result<Vec<Value>>> + Send {
        match self {
            Self::One(server) => Either::Left(server.run(pipe, by)),
            Self::Cluster(cluster) => Either::Right(cluster.run_on(shard, pipe, by)),
        }
    }

    fn deadline(&self) -> Deadline {
        match self {
            Self::One(server) => server.deadline(),
            Self::Cluster(cluster) => cluster.deadline(),
        }
    }

    fn in_order(&self) -> bool {
        matches!(self, Self::One(_))
    }

    fn layout(&self) -> Layout {
        match self {
            Self::One(_) => Layout::Single,
            Self::Cluster(_) => Layout::Cluster,
        }
    }

    fn shards(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Cluster(cluster) => cluster.shards(),
        }
    }

    fn unmarked(&self) -> Vec<Unmarked> {
        match self {
            Self::One(_) => Vec::new(),
            Self::Cluster(cluster) => cluster.unmarked(),
        }
    }

    fn mark(&self, due: Vec<Unmarked>, by: Deadline) -> impl Future<Output = ()> + Send {
        match self {
            Self::One(_) => Either::Left(std::future::ready(())),
            Self::Cluster(cluster) => Either::Right(cluster.mark(due, by)),
        }
    }

    fn distrust(&self, why: &Error) {
        match self {
            Self::One(server) => server.distrust(why),
            Self::Cluster(cluster) => cluster.distrust(why),
        }
    }
}
