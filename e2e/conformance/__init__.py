"""The scenarios of the Ingress conformance suite, and the report of a run."""
