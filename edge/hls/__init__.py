"""Delivery: which object, from where, in which form. Knows no database, no token and no person."""
