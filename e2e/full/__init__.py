"""Tests with a whole node."""
