"""What the ledger holds, however it holds it."""

TAKEN = """
SELECT session_id, unnest(event_ids) AS event_id FROM beat_ledger UNION ALL SELECT session_id, event_id FROM beat_ledger_crowded
"""
"""Each beat that has had its effect, as often as it is noted."""
