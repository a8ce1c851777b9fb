//! Where a Snapshot comes from: a cluster or a folder of manifests; and the addresses of external names.

pub mod cluster;
mod delta;
pub mod dns;
pub mod folder;

use std::sync::Arc;

pub use self::cluster::{ClientError, ClusterSource};
pub use self::delta::Delta;
pub use self::folder::{FolderSource, OpenError};
use crate::snapshot::Snapshot;

/// What changed, and since when.
#[derive(Debug)]
pub struct Changed {
    /// What.
    pub delta: Delta,
    /// When the first event of it came.
    pub since: std::time::Instant,
}

/// Where the objects come from.
pub enum Source {
    /// The Kubernetes API.
    Cluster(Box<ClusterSource>),
    /// YAML.
    Folder(Box<FolderSource>),
}

impl Source {
    /// What the source says, as of the last change.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        match self {
            Source::Cluster(cluster) => cluster.snapshot(),
            Source::Folder(folder) => folder.snapshot(),
        }
    }

    /// Waits until the source says something else. May be dropped while it waits; nothing is lost.
    pub async fn changed(&mut self) -> Changed {
        match self {
            Source::Cluster(cluster) => cluster.changed().await,
            Source::Folder(folder) => folder.changed().await,
        }
    }
}
