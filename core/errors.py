"""Refusals: what the product says no with, one record each.

Decides what a client is told. Knows no HTTP library and no database driver.
A code is never reused; a retired one stays as a comment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Code:
    """One way to be refused: its stable code, HTTP status, default message and hint."""

    code: str
    status: int
    message: str
    hint: str | None = None


# PS1xx the request itself
BAD_JSON = Code("PS101", 400, "The body is not valid JSON.")
BAD_FIELD = Code("PS102", 422, "A field is missing or out of range.")
BODY_TOO_LARGE = Code("PS103", 413, "The body is too large.")
BAD_QUERY = Code("PS104", 400, "The query is not understood.")
NOT_FOUND = Code("PS105", 404, "There is nothing here.")
METHOD_NOT_ALLOWED = Code("PS106", 405, "This address does not take that method.")
BAD_ID = Code("PS107", 400, "An id must be a UUID.")
UNSUPPORTED_TYPE = Code("PS108", 415, "The body's content type is not taken here.")
BAD_REQUEST = Code("PS109", 400, "The request is malformed.")
NOT_ACCEPTABLE = Code("PS110", 406, "None of the accepted types can be given.")
RANGE_UNSATISFIABLE = Code("PS111", 416, "The range asked for lies outside the result.")
PRECONDITION_FAILED = Code("PS112", 412, "The state of the resource is not what the request expects.")

BAD_VERSION = Code("PS113", 505, "Only HTTP/1.0 and HTTP/1.1 are spoken here.")
HEAD_TOO_LARGE = Code("PS114", 431, "A header is too long, or there are too many.")
OUT_OF_SCOPE = Code("PS116", 403, "The API key's scopes do not cover this.", "Make a key with the scope that is named.")
RATE_LIMITED = Code("PS117", 429, "Too many requests.", "Wait for as long as Retry-After says.")
TARGET_TOO_LONG = Code("PS299", 414, "The address is too long.")

# PS2xx names in the schema
UNKNOWN_TABLE = Code("PS201", 404, "There is no such table.")
UNKNOWN_COLUMN = Code("PS202", 400, "There is no such column.")
UNKNOWN_RELATION = Code("PS203", 400, "There is no foreign key between these tables.")
AMBIGUOUS_RELATION = Code("PS204", 300, "More than one foreign key joins these tables.", "Name one: `embed!hint(...)`.")
UNKNOWN_COMMAND = Code("PS205", 404, "There is no such command.")
NOT_SINGULAR = Code("PS206", 406, "The result is not exactly one row.")
READ_ONLY = Code("PS207", 405, "This table is not written this way.")
COLUMN_CLOSED = Code("PS208", 403, "That column is not written by clients.")
NEEDS_FILTER = Code("PS209", 400, "A change of every row is refused.", "Say which rows: `id=eq....`.")
TOO_MANY_AFFECTED = Code("PS210", 400, "The change would touch more rows than allowed; nothing was changed.")
ROLLBACK_CLOSED = Code("PS211", 400, "Prefer: tx=rollback is not allowed here; nothing was changed.")

# PS3xx who is asking
SIGN_IN_NEEDED = Code("PS301", 401, "Sign in first.", "Send `Authorization: Bearer <access token>`.")
BAD_ACCESS_TOKEN = Code("PS302", 401, "The access token is not valid.", "Sign in again or refresh it.")
ACCESS_TOKEN_EXPIRED = Code("PS303", 401, "The access token has expired.", "Refresh it at /auth/v1/token.")
FORBIDDEN = Code("PS304", 403, "You may not do that.")
BANNED = Code("PS305", 403, "This account is banned.")
INVALID_CREDENTIALS = Code("PS306", 400, "Invalid login credentials.")
EMAIL_TAKEN = Code("PS307", 422, "That e-mail address already has an account.")
WEAK_PASSWORD = Code("PS308", 422, "The password is too weak.", "Use at least 8 characters.")
BAD_REFRESH_TOKEN = Code("PS309", 400, "The refresh token is not valid.", "Sign in again.")
TOO_MANY_TRIES = Code("PS310", 429, "Too many tries.", "Wait a little and try again.")

# PS4xx playback
BAD_PLAYBACK_TOKEN = Code("PS401", 401, "The playback token is not valid.", "POST /play/{content_id} makes another.")
PLAYBACK_EXPIRED = Code("PS402", 410, "The playback token has expired.", "POST /play/{content_id} makes another.")
NOT_ENTITLED = Code("PS403", 403, "You do not have access to this title.")
PLAYBACK_REVOKED = Code("PS404", 403, "Access to this title has ended.")
CONTENT_NOT_FOUND = Code("PS405", 404, "There is no such title.")
CONTENT_NOT_READY = Code("PS406", 409, "This title has no playable video yet.", "Its encoding may still be running.")
TOO_MANY_STREAMS = Code("PS407", 403, "Too many streams at once.")
BAD_BEAT = Code("PS408", 422, "A heartbeat is not valid.")
INTAKE_FULL = Code("PS409", 503, "Heartbeats cannot be taken right now.", "Send them again after Retry-After seconds.")
WRONG_CONTENT = Code("PS410", 403, "The playback token is for another title.")

# PS5xx data
CONFLICT = Code("PS501", 409, "That already exists.")
STILL_REFERENCED = Code("PS502", 409, "Something that does not exist is named, or something else still points here.")
RULE_BROKEN = Code("PS503", 400, "A rule of the data is broken.")
ILLEGAL_MOVE = Code("PS504", 409, "That change of state is not allowed.")
BAD_VALUE = Code("PS505", 400, "A value does not fit its column.")
PRICE_OVERLAPS = Code("PS506", 409, "Another price holds at that time.", "End that one first, or begin after it.")
KEY_REUSED = Code("PS507", 422, "That Idempotency-Key was used for another request.", "Make a new key for each intent.")
KEY_BUSY = Code("PS508", 409, "A request with that Idempotency-Key is under way.", "Send it again after Retry-After.")
COURSE_FULL = Code("PS509", 409, "The course has no place left.")
PAYMENT_NEEDED = Code("PS510", 402, "This has to be paid for first.")
QUOTA_REACHED = Code("PS511", 409, "The tenant has as many of these as it may have.", "The operator sets its quota.")
REFUND_TOO_LARGE = Code("PS512", 409, "More would be given back than was paid.")
COURSE_UNFINISHED = Code("PS513", 409, "The course is not completed yet.")
NOTHING_TO_PUBLISH = Code("PS514", 409, "There is nothing in it to publish yet.")
ONLY_ADDED_TO = Code("PS515", 409, "This is only ever added to, never changed.")
OTHER_TENANT = Code("PS516", 409, "Something that does not exist here is named.")
POINTS_SHORT = Code("PS517", 409, "There are not enough points.")
TOKENS_SHORT = Code("PS518", 409, "There are not enough AI tokens.")
CART_EMPTY = Code("PS519", 409, "There is nothing in the cart.")
CURRENCY_MIXED = Code("PS520", 409, "An order is in one currency.", "Order what is in the cart first, or empty it.")
NOT_FOR_SALE = Code("PS521", 409, "This is not for sale, or not in that currency.")
ALREADY_OWNED = Code("PS522", 409, "You have this already.")
PRICE_CHANGED = Code("PS523", 409, "The total is no longer what was expected.", "Look at the cart and order again.")
ORDER_CLOSED = Code("PS524", 409, "This order does not wait for a payment.")
BAD_SIGNATURE = Code("PS525", 400, "The signature of the message is not valid.")
PAYMENT_PROVIDER_CLOSED = Code("PS526", 422, "That way of paying is not set up here.")
PAYMENT_PROVIDER_FAILED = Code("PS527", 502, "The payment provider did not do it.", "Send the same again in a moment.")
NOTHING_TO_REFUND = Code("PS528", 409, "This payment has nothing to give back.")
AMOUNT_DIFFERS = Code("PS529", 409, "That is not the amount that is owed.")
PAYOUT_TOO_LARGE = Code("PS530", 409, "More would be paid out than was earned.")
NO_ATTRIBUTION_MODEL = Code("PS531", 409, "No attribution model is enabled.", "Ask for save_attribution_model.")
NOT_A_CONVERSION = Code("PS532", 409, "That event is no conversion.")
COURSE_NOT_FOUND = Code("PS540", 404, "There is no such course.")
LESSON_NOT_FOUND = Code("PS541", 404, "There is no such lesson.")
ENROLLMENT_NEEDED = Code("PS542", 403, "This is for those who take the course.", "Enrol in it first.")
NOT_RELEASED = Code("PS543", 403, "This is not open yet.")
ASSESSMENT_NEEDED = Code("PS544", 409, "The lesson's quiz or assignment has to be handed in first.")
NO_ATTEMPTS_LEFT = Code("PS545", 409, "It may not be taken again.")
TIME_IS_UP = Code("PS546", 409, "The time for this attempt is over.")
ATTEMPT_CLOSED = Code("PS547", 409, "That attempt is not open any more.")
DUE_DATE_PASSED = Code("PS548", 409, "The due date has passed.")
SUBSCRIPTION_NEEDED = Code("PS549", 403, "This course is for subscribers.")
NOT_DOWNLOADABLE = Code("PS550", 403, "This lesson is not there to be downloaded.")
NOT_UNLOCKABLE = Code("PS551", 409, "This cannot be opened before its release.")
ALREADY_OPEN = Code("PS552", 409, "This is open already.")
SESSION_NOT_LIVE = Code("PS553", 409, "The session is not live.")
NOT_ADMITTED = Code("PS554", 403, "You have not been let into the call.")
UNDER_REVIEW = Code("PS555", 409, "Staff decide on this course.", "Submit it for review and wait for their answer.")
CALL_OVER = Code("PS556", 409, "The call is over.")
COURSE_BAN = Code("PS557", 403, "You are banned from this course.")
COURSE_SET_ASIDE = Code("PS558", 409, "The course has been deleted.", "Restore it first.")
ALL_GRADED = Code("PS559", 409, "There is nothing to be marked by hand.")

# People and tenants (PS565 to PS584)
EMAIL_NOT_VERIFIED = Code("PS565", 403, "Email not confirmed.", "Open the link in the mail, or ask for another one.")
BAD_VERIFICATION = Code("PS566", 403, "The link is invalid or has expired.", "Ask for a new one.")
PROVIDER_EMAIL_UNPROVEN = Code(
    "PS567", 403, "The provider has not proven that e-mail address.", "Prove the address there, or sign in otherwise."
)
PROVIDER_UNKNOWN = Code("PS568", 404, "There is no such sign-in provider here.")
PROVIDER_FAILED = Code("PS569", 502, "The sign-in provider did not vouch for anybody.", "Begin again.")
NOT_A_MEMBER = Code("PS570", 403, "You are not a member of this workspace.", "Ask for an invitation.")
UNKNOWN_TENANT = Code("PS571", 404, "There is no such workspace.")
BAD_INVITATION = Code("PS572", 409, "The invitation is not open to you.", "Ask for a new one.")
ALREADY_MEMBER = Code("PS573", 409, "That person is a member already.")
LAST_ADMIN = Code("PS574", 409, "Somebody has to be in charge here.", "Make somebody else an administrator first.")
NOT_PLATFORM_ADMIN = Code("PS575", 403, "Only an administrator of the installation may do that.")
NOT_YOURSELF = Code("PS576", 409, "You cannot do that to yourself.")
NOT_AS_ANOTHER = Code("PS577", 403, "That cannot be done in somebody else's name.")
DENIED_BY_POLICY = Code("PS578", 403, "A policy of the workspace forbids that.")

# PS6xx media; what is sent out, and the platform
NOT_MEDIA = Code("PS601", 422, "The file is not a video or audio file that can be read.")
EMPTY_FILE = Code("PS602", 422, "The file is empty.")
TRUNCATED_MEDIA = Code("PS603", 422, "The file is cut off: its end is missing.")
PLAYLIST_IN_DISGUISE = Code("PS604", 422, "The file is a playlist or a document, not media.")
NO_STREAMS = Code("PS605", 422, "The file has neither picture nor sound.")
MEDIA_TOO_LARGE = Code("PS606", 422, "The picture or the length is beyond what is accepted.")
PROBE_TIMEOUT = Code("PS607", 422, "The file could not be understood in time.")
ENCODE_FAILED = Code("PS608", 500, "The encoder stopped with an error.")
VERIFY_FAILED = Code("PS609", 500, "The encoded result did not pass its checks and was not published.")
ATTEMPTS_SPENT = Code("PS610", 500, "The job was given up after its last attempt.")
CANCELLED = Code("PS611", 409, "The job was cancelled.")
UPLOAD_CONFLICT = Code("PS612", 409, "The upload is at another offset.")
UPLOAD_GONE = Code("PS613", 410, "The upload has expired or was ended.")
DISK_FULL = Code("PS614", 507, "There is no room left on the disk.")
NO_SUBTITLES = Code("PS950", 422, "The file holds no subtitles that can be read.", "Send .srt, .vtt or .ass.")
NOT_CONFINED = Code("PS615", 500, "A decoder could not be shut in on this machine, so it was not started.")
ENCODER_LACKS = Code("PS635", 500, "This worker's ffmpeg lacks what the encoding needs.")
NO_KEY_RING = Code("PS636", 500, "This worker has no key ring to seal an encrypted title's key with.")
KEY_LOST = Code("PS637", 500, "The key of this encrypted title cannot be opened any more.", "Encode the title again.")

NOT_REPACKAGED = Code("PS970", 409, "An encoding of this kind is given no subtitles.", "Encode the title again.")

NOTHING_SEALS = Code(
    "PS625", 501, "No sealing key: no secret is kept here.", "The operator sets PENSTOCK_SEALING_KEYS."
)
BAD_TARGET = Code("PS626", 422, "Nothing may be sent to that address.", "Name a public https address.")
UNKNOWN_TOPIC = Code("PS627", 422, "There is no such event.")
WEBHOOK_DISABLED = Code("PS628", 409, "The webhook is disabled.", "Enable it first: enable_webhook.")
STEP_REQUIRED = Code("PS630", 409, "This onboarding step is required and cannot be skipped.")
EXPERIMENT_CLOSED = Code("PS631", 409, "The experiment is not running.")
SHOWN_ONCE = Code("PS632", 409, "That was done, and what it made is shown once only.", "Make another, or rotate it.")

# PS9xx ours
INTERNAL = Code("PS901", 500, "Something went wrong on our side.", "Give the request id to the operator.")
UNAVAILABLE = Code("PS902", 503, "The service cannot do this right now.", "Try again after Retry-After seconds.")
TIMEOUT = Code("PS903", 504, "That took too long and was stopped.")

# PS91x mail
BAD_UNSUBSCRIBE_LINK = Code("PS910", 400, "That is no link of ours to turn off mail.", "Change email_preferences.")
TMDB_OTHER_KIND = Code("PS911", 409, "That number of The Movie Database is held as the other kind: film or series.")
COURSE_UNPRICED = Code("PS912", 409, "A course that is sold needs a price.", "Set its price, or make it free.")
# 460 is what tus has for it.
CHECKSUM_DIFFERS = Code("PS981", 460, "The chunk's checksum is another.", "Nothing of it was kept: send it again.")
NOT_OFFERED = Code("PS980", 422, "That part of sign-in is not offered here.")
# PS92x room. Not 409 nor 507 for the quota: clients of tus send again after those, and a quota does not go away by waiting.
STORAGE_QUOTA = Code("PS920", 413, "The workspace may not hold that many bytes.", "The operator sets its quota.")
SCRATCH_SPENT = Code("PS921", 500, "Encoding took more scratch than it may.", "The operator sets PENSTOCK_SCRATCH_GB.")


@dataclass(frozen=True, slots=True)
class Fault:
    """One field of the request that is wrong: its path (`beats[3].position_s`) and why."""

    path: str
    why: str


@dataclass(slots=True)
class Refusal(Exception):  # noqa: N818 - it is an answer, not a failure of ours
    """Raised, or returned by a `check_*`, to say no.

    `data` holds machine-readable extras (a reason, a list of devices) merged into the body.
    """

    code: Code
    message: str | None = None
    hint: str | None = None
    details: str | None = None
    faults: tuple[Fault, ...] = ()
    data: Mapping[str, object] = field(default_factory=dict)
    retry_after_s: int | None = None

    def __str__(self) -> str:
        return f"{self.code.code}: {self.message or self.code.message}"

    def body(self) -> dict[str, object]:
        """The JSON body: PostgREST's four keys, then ours."""
        answer: dict[str, object] = {
            "code": self.code.code,
            "message": self.message or self.code.message,
            "details": self.details,
            "hint": self.hint or self.code.hint,
        }
        if self.faults:
            answer["fields"] = [{"path": fault.path, "why": fault.why} for fault in self.faults]
        answer.update(self.data)
        return answer


def bad_field(path: str, why: str, hint: str | None = None) -> Refusal:
    """A refusal about one field of the request."""
    return Refusal(BAD_FIELD, f"{path}: {why}", hint, faults=(Fault(path, why),))
