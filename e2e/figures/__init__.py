"""Figures of the controller on a real API server, beside their goals."""
