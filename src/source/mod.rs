//! Where a Snapshot comes from: a folder of manifests, and the addresses of external names.

mod delta;
pub mod dns;
pub mod folder;

pub use self::delta::Delta;
pub use self::folder::{Changed, FolderSource, OpenError};
