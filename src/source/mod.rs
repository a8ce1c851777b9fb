//! Where a Snapshot comes from.
