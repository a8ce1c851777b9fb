"""A real Kubernetes inside namespaces of its own: the API server alone, or a whole node."""
