//! A TLS Secret's bytes into a certificate that can be served.
