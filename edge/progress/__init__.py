"""Heartbeats: taken in, durable before the answer, folded, written once."""
