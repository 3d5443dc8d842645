"""From a request in PostgREST's dialect to one SQL statement and its answer: request, plan, render, respond."""
