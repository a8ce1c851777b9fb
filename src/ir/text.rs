//! The short text form of a configuration: what goldens, `check` and `/api/v1/config` print.
