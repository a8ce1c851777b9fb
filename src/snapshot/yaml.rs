//! YAML and JSON documents into typed objects, with file, document and line for what cannot be read.
