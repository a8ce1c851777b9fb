//! Byte-exact clients and upstreams with the proxy between them: one file for each behaviour, every message split at every
//! byte.

mod pattern;
mod proxy;
mod script;
mod stage;
mod text;

mod bodies;
mod connection_fields;
mod cut_answers;
mod expect;
mod host;
mod http2;
mod interim;
mod reuse;
mod sizes;
mod smuggling;
mod status_lines;
mod targets;
mod upgrade;
