"""Redis or Valkey: the only package that talks to redis-py. How it is opened, when it counts as away, and what is sent together."""

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from edge.redis_client.breaker import Breaker, RedisDown
from edge.redis_client.opening import connect
from edge.redis_client.pipelined import Part, Pipelined, Script

__all__ = [
    "Breaker",
    "Part",
    "Pipelined",
    "Redis",
    "RedisDown",
    "RedisError",
    "ResponseError",
    "Script",
    "connect",
]
