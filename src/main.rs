//! The `fairlead` command.

fn main() {}
