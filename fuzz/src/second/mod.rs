//! A second opinion: small, slow and strict readers, written apart from the real ones to be compared with them.

pub(crate) mod body;
pub(crate) mod frames;
pub(crate) mod head;
pub(crate) mod path;
