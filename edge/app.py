"""The only composition root of the web process: opens what it stands on, joins the faces, closes it all again."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import orjson
import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from core.database import Database, DatabaseDown
from core.domain.commands import Commands
from core.domain.registry import CONTEXTS
from core.engine.schema import SchemaSource
from core.errors import Refusal
from core.objects import ObjectStore
from core.settings import ROOT
from core.variables import SettingsError
from edge.api import auth, rest
from edge.api.access import AccessKeys, DatabaseSessions, Gate
from edge.api.api_keys import ApiKeys, KeyUses
from edge.api.arriving import LARGEST_ROWS_BYTES
from edge.api.beat_lane import BeatLane
from edge.api.beats import BeatFace
from edge.api.boundary import boundary, cors, unsigned
from edge.api.callers import Callers
from edge.api.description import DescriptionFace
from edge.api.door import Door
from edge.api.error_log import ErrorLog
from edge.api.health import HealthFace
from edge.api.hot import HotReads
from edge.api.media import MediaFace
from edge.api.mine import MineFace
from edge.api.oidc import Providers
from edge.api.partial import Partials
from edge.api.passwords import Passwords
from edge.api.payments import WebhookFace, outside
from edge.api.pictures import PictureFace
from edge.api.play import PlayFace
from edge.api.presence import Presence
from edge.api.proxies import behind
from edge.api.rates import Rates
from edge.api.rpc import RpcFace
from edge.api.shedding import Shedding
from edge.api.site import SiteFace
from edge.api.stripe_gateway import StripeGateway
from edge.api.tenants import Tenants
from edge.api.throttle import Throttle
from edge.api.unsubscribe import UnsubscribeFace
from edge.api.upload import UploadFace, sign_tus
from edge.content_keys import ContentKeys
from edge.hls.cache import ByteCache
from edge.hls.delivery import Delivery
from edge.hls.disk import DiskCache
from edge.hls.stored import StoredObject
from edge.lane.learned import Learned
from edge.lane.whole import Wholes
from edge.leaving import Leaving
from edge.lookups import Prefixes, asker, durations, pinger, vouch
from edge.near_store import NearStore
from edge.progress.batcher import Batcher
from edge.progress.fold import rules_from
from edge.progress.intake import Intake
from edge.progress.newest import NewestPositions
from edge.progress.stream import IntakeStream
from edge.progress.write import write_beats
from edge.pulse import Pulse
from edge.redis_client import Breaker, Redis, connect
from edge.settings import Settings
from edge.tokens.checking import Checks
from edge.tokens.entitlements import Entitlements
from edge.tokens.grant import Grants
from edge.tokens.leases import Leases
from edge.tokens.sessions import Sessions

log = structlog.get_logger(__name__)

VERSION = "0.1.0"
CHANNEL = "penstock_changed"
POOL_SIZE = 8


@dataclass(slots=True)
class Edge:
    """Everything one web process holds."""

    settings: Settings
    database: Database
    redis: Redis
    breaker: Breaker
    objects: ObjectStore
    gate: Gate
    callers: Callers
    sessions: Sessions
    entitlements: Entitlements
    intake: Intake
    batcher: Batcher
    beat_lane: BeatLane
    cache: ByteCache[StoredObject]
    partials: Partials
    passwords: Passwords
    learned: Learned
    health: HealthFace
    presence: Presence
    hot: HotReads
    faces: Sequence[Sequence[web.AbstractRouteDef]]
    stripe: StripeGateway | None = None
    shedding: Shedding = field(default_factory=Shedding)
    leaving: Leaving = field(default_factory=Leaving)
    door: Door = field(init=False)
    pulse: Pulse = field(init=False)
    error_log: ErrorLog = field(init=False)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.door = Door(self.shedding, self.leaving.begun.is_set)
        self.pulse = Pulse(
            self.cache, self.sessions, self.learned, self.beat_lane, self.wholes, self.door, self.breaker, self.database
        )
        self.error_log = ErrorLog(self.database)

    @property
    def wholes(self) -> Wholes:
        """What the fast lane may answer of the API."""
        return self.hot.wholes

    def app(self) -> web.Application:
        """The application, its background tasks tied to its start and end."""
        trusted = self.settings.trusted_proxies
        layers: list[Middleware] = [boundary, self.shedding.layer(), cors, self.error_log.layer(self.gate.viewer)]
        if trusted:
            layers.insert(0, behind(trusted, self.settings.country_header))
        app = web.Application(middlewares=layers, client_max_size=LARGEST_ROWS_BYTES)
        app.on_response_prepare.append(unsigned)
        app.on_response_prepare.append(sign_tus)
        app.on_response_prepare.append(self.leaving.say_close)
        app.on_response_prepare.append(self.hot.teach)
        for routes in self.faces:
            app.add_routes(routes)
        app.on_startup.append(self._start)
        app.on_cleanup.append(self._stop)
        return app

    async def _start(self, app: web.Application) -> None:
        self.batcher.start()
        self._spawn(self.database.listen(CHANNEL, self._heard, self._gap, self.stopping))
        self._spawn(self.pulse.run())
        self._spawn(self.callers.api_keys.uses.run())
        self._spawn(self.presence.run())
        self._spawn(self.shedding.watch())
        self._spawn(self.partials.keep())
        self._spawn(self._refuse_unfit())
        self._spawn(self.error_log.run())

    async def _stop(self, app: web.Application) -> None:
        self.stopping.set()
        await self.batcher.stop()
        await self.intake.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        with suppress(DatabaseDown, Refusal):
            await self.callers.api_keys.uses.flush()
        self.pulse.count()
        self.passwords.close()
        if self.stripe is not None:
            await self.stripe.close()
        await self.redis.aclose()
        await self.database.close()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._spent)

    def _spent(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background_task_died", error=f"{type(error).__name__}: {error}")

    def _heard(self, payload: str) -> None:
        """One announcement of the database. Marks what it touches before anything is awaited."""
        change = orjson.loads(payload)
        if "r" in change:
            self.hot.forget_all()
            return
        self.gate.note_change(change)
        self.callers.api_keys.note_change(change)
        self._spawn(self.sessions.changed(change))

    def _gap(self) -> None:
        """Announcements may have been missed: believe nothing that was remembered."""
        self.hot.forget_all()
        self.gate.forget_all()
        self.callers.api_keys.forget_all()
        self.sessions.all_suspect()
        self._spawn(self.entitlements.forget(None, None))

    async def _refuse_unfit(self) -> None:
        """A login that no policy binds, or that hears of no change, must not serve anybody."""
        while not self.stopping.is_set():
            with suppress(DatabaseDown):
                if unfit := await self.database.unfit():
                    log.error(unfit[0], mend=unfit[1])
                    self.health.draining.set()
                    self.leaving.begun.set()
                return
            await asyncio.sleep(1)


async def open_edge(settings: Settings) -> Edge:
    """Opens everything for one web process. Raises SettingsError when something needed is not set."""
    if settings.database_url is None or settings.redis_url is None or settings.secret_keys is None:
        raise SettingsError(
            "PENSTOCK_DATABASE_URL",
            "PENSTOCK_REDIS_URL and PENSTOCK_SECRET_KEYS must be set for a bare edge",
            "Or start it with `./penstock up`.",
        )
    ring = settings.secret_keys
    database = await Database.connect(
        settings.database_url,
        name="edge",
        max_size=POOL_SIZE,
        house=settings.house,
        direct_url=settings.direct_database_url,
    )
    redis = connect(settings.redis_url)
    breaker = Breaker()
    objects = NearStore(settings.store_url)
    grants = Grants(ring)
    access_keys = AccessKeys(ring)
    tenants = Tenants(database)
    presence = Presence(database)
    gate = Gate(access_keys, DatabaseSessions(database), tenants=tenants, seen=presence.note)
    rates = Rates(
        {"user": settings.rate_per_user, "key": settings.rate_per_key, "address": settings.rate_per_address},
        redis,
        breaker,
    )
    callers = Callers(gate, ApiKeys(database, KeyUses(database), tenants), rates)
    passwords = Passwords()
    leases = Leases(redis, breaker)
    entitlements = Entitlements(asker(database), redis, breaker)
    sessions = Sessions(
        grants,
        Checks(leases, entitlements, vouch(database)),
        by_network=settings.bind_ip,
        by_country=settings.country_header is not None,
    )
    rules = rules_from(settings)
    stream = IntakeStream(redis, breaker, settings.progress_partitions, rules)
    intake = Intake(stream, partial(write_beats, database, rules))
    newest = NewestPositions(redis, breaker, settings.progress_partitions)
    batcher = Batcher(intake.store)
    beat_lane = BeatLane(batcher)
    cache: ByteCache[StoredObject] = ByteCache(settings.cache_mb * 1024 * 1024, lambda stored: stored.size_bytes)
    learned = Learned()
    cache.was_used, cache.dropped = learned.was_used, learned.forget_answer
    learned.is_wanted = cache.missed_again
    read = objects.get
    if settings.disk_cache_mb and objects.provider != "file":
        read = DiskCache(settings.data / "cache", settings.disk_cache_mb * 1024 * 1024, objects.get).read
    delivery = Delivery(read, Prefixes(database, redis, breaker).find, cache)
    keys = ContentKeys(database, redis, breaker, ring)
    partials = Partials(settings.uploads)
    health = HealthFace({"database": database.alive, "redis": pinger(redis, breaker), "store": objects.alive})
    stripe = None
    if settings.stripe_key is not None and settings.stripe_webhook_secret is not None:
        stripe = StripeGateway(settings.stripe_key, settings.stripe_webhook_secret, settings.stripe_url)
    schema_source = SchemaSource(database, CONTEXTS)
    commands = Commands(database, CONTEXTS, outside(database, stripe))
    rest_face = rest.RestFace(database, schema_source, callers.viewer, may_roll_back=settings.may_roll_back)
    faces: list[Sequence[web.AbstractRouteDef]] = [
        MediaFace(sessions, delivery, learned, objects.file_of, keys.find, settings.accel).routes(),
        BeatFace(gate, grants, batcher, durations(database), beat_lane).routes(),
        PlayFace(database, gate, grants, leases, entitlements, newest, sessions, ring).routes(),
        MineFace(database, gate, newest).routes(),
        rest.routes(rest_face),
        RpcFace(commands, callers.viewer).routes(),
        WebhookFace(database, stripe).routes(),
        DescriptionFace(schema_source, commands, VERSION).routes(),
        callers.counted(
            auth.routes(
                database=database,
                gate=gate,
                access_keys=access_keys,
                passwords=passwords,
                throttle=Throttle(redis, breaker),
                providers=Providers(settings.providers),
                site_url=settings.site_url if settings.site_is_named else None,
            )
        ),
        UnsubscribeFace(database, ring).routes(),
        UploadFace(database, objects, gate, partials).routes(),
        PictureFace(database, objects, cache).routes(),
        health.routes(),
        SiteFace(
            ROOT / "web" / "dist", {"anon_key": access_keys.anon_key(), "name": "Penstock", "version": VERSION}
        ).routes(),
    ]
    return Edge(
        settings,
        database,
        redis,
        breaker,
        objects,
        gate,
        callers,
        sessions,
        entitlements,
        intake,
        batcher,
        beat_lane,
        cache,
        partials,
        passwords,
        learned,
        health,
        presence,
        rest_face.hot,
        faces,
        stripe,
    )
