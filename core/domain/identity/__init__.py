"""Identity: who a person is, how they prove it, where they are signed in, and who may act on that.

Knows no HTTP and no hashing. Coming and going is not asked for by command but by GoTrue's calls (edge/api/auth.py), which
hash passwords and hand out secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from core.domain.context import EVERY_VERB, READ_ONLY, Command, Context, Handler, Table
from core.domain.credentials import digest
from core.domain.identity import api_keys, moderation, people
from core.domain.identity.administration import (
    Change,
    change_person,
    erase_person,
    get_person,
    list_people,
    make_person,
)
from core.domain.identity.moderation import PlatformRole, open_visit
from core.domain.identity.people import turn_off_mail
from core.domain.identity.providers import ProviderIdentity, find_or_make_person
from core.domain.identity.sessions import (
    LOCK,
    MAX_FAILURES,
    NOWHERE,
    REUSE_GRACE,
    SESSION_LIFETIME,
    Account,
    Candidate,
    KeyHolder,
    Login,
    Opened,
    Origin,
    Person,
    Scope,
    Standing,
    change_password,
    check_account,
    check_lock,
    check_standing,
    end_sessions,
    find_for_sign_in,
    find_key_holder,
    find_person,
    find_standing,
    lock_candidate,
    note_presence,
    open_session,
    record_failure,
    remember_refusal,
    rename,
    rotate_refresh_token,
    sign_up,
    upgrade_hash,
)
from core.domain.identity.verification import (
    LIFETIMES,
    Purpose,
    Redeemed,
    ask_to_reset,
    ask_to_sign_in,
    ask_to_verify,
    ask_to_verify_change,
    asks_for_proof,
    hand_out_code,
    redeem,
    redeem_code,
    warn,
)
from core.viewer import Role

__all__ = [
    "LIFETIMES",
    "LOCK",
    "MAX_FAILURES",
    "NOWHERE",
    "REUSE_GRACE",
    "SESSION_LIFETIME",
    "Account",
    "Candidate",
    "Change",
    "KeyHolder",
    "Login",
    "Opened",
    "Origin",
    "Person",
    "PlatformRole",
    "ProviderIdentity",
    "Purpose",
    "Redeemed",
    "Scope",
    "Standing",
    "ask_to_reset",
    "ask_to_sign_in",
    "ask_to_verify",
    "ask_to_verify_change",
    "asks_for_proof",
    "change_password",
    "change_person",
    "check_account",
    "check_lock",
    "check_standing",
    "digest",
    "end_sessions",
    "erase_person",
    "find_for_sign_in",
    "find_key_holder",
    "find_or_make_person",
    "find_person",
    "find_standing",
    "get_person",
    "hand_out_code",
    "list_people",
    "lock_candidate",
    "make_person",
    "note_presence",
    "open_session",
    "open_visit",
    "record_failure",
    "redeem",
    "redeem_code",
    "remember_refusal",
    "rename",
    "rotate_refresh_token",
    "sign_up",
    "turn_off_mail",
    "upgrade_hash",
    "warn",
]

# TABLES
_PROFILE = frozenset(
    {
        *("first_name", "last_name", "display_name", "bio", "avatar_url", "country", "timezone"),
        *("preferred_language", "designation", "preferences", "social_website", "social_github", "social_facebook"),
        *("social_twitter", "social_linkedin"),
    }
)
_MAIL = frozenset({"marketing_emails", "product_updates", "security_alerts"})
_INTEREST = frozenset({"category_id", "interest_name", "priority"})
_SIGNED_IN: frozenset[Role] = frozenset({"authenticated", "staff", "service_role"})
TABLES = (
    # A person reads themselves; staff read everyone. Whatever decides who may do what changes by commands.
    Table(
        "users", hidden=frozenset({"stripe_customer_id", "stripe_subscription_id", "login_attempts", "locked_until"})
    ),
    # Any signed-in person may read a profile; a date of birth is nobody's business.
    Table(
        "user_profiles",
        frozenset({"read", "update"}),
        hidden=frozenset({"date_of_birth"}),
        updatable=_PROFILE,
        writers=_SIGNED_IN,
    ),
    Table("api_keys", hidden=frozenset({"key_hash", "tenant_id"})),
    Table("sessions", hidden=frozenset({"token_digest"})),
    Table("archived_sessions", hidden=frozenset({"token_digest"})),
    Table("login_history"),
    Table("online_sessions", hidden=frozenset({"session_id"})),
    Table(
        "email_preferences",
        frozenset({"read", "insert", "update"}),
        insertable=_MAIL | {"user_id"},
        updatable=_MAIL,
        writers=_SIGNED_IN,
    ),
    Table("user_metrics"),
    Table(
        "user_interests",
        EVERY_VERB,
        insertable=_INTEREST | {"id", "user_id"},
        updatable=_INTEREST,
        writers=_SIGNED_IN,
    ),
    Table("follows", READ_ONLY),
    Table("security_events"),
    Table("gdpr_requests"),
)

# STATES
STATES: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "gdpr_requests": {
            "pending": frozenset({"in_progress", "completed", "rejected"}),
            "in_progress": frozenset({"completed", "rejected"}),
            "completed": frozenset(),
            "rejected": frozenset(),
        }
    }
)

# RULES
# Each beside what it decides: sessions.py, verification.py, providers.py, moderation.py.

# COMMANDS
COMMANDS: Mapping[str, Command] = MappingProxyType({**people.COMMANDS, **api_keys.COMMANDS, **moderation.COMMANDS})

# HANDLERS
HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {**people.HANDLERS, **api_keys.HANDLERS, **moderation.HANDLERS}
)

CONTEXT = Context("identity", TABLES, STATES, COMMANDS, HANDLERS)
