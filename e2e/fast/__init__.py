"""Tests with etcd and the API server alone."""
