//! Heads and bodies into bytes.
