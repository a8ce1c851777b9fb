//! Client, proxy and back end over loopback, one file for each feature.

mod plain;
