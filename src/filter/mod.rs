//! What happens to a request before and after the upstream: synchronous, no I/O, in one order.
