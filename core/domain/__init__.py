"""The contexts: what belongs together in the business, one module each."""
