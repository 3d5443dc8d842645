"""The tables of this context, and what of them is open.

Rows are the policies' business: a student sees their own, a teacher those of their courses, staff the tenant's. A teacher is
whoever a course names, so `authenticated` is among the writers of what teachers make.
"""

from __future__ import annotations

from core.domain.context import EVERY_VERB, Table
from core.domain.learning.acting import SIGNED_IN

_ID = frozenset({"id"})
# A course's state, whether it is featured and what it counts change by commands and triggers alone; the price of it is the teacher's.
_COURSE = frozenset(
    {
        *(
            "category_id",
            "title",
            "slug",
            "description",
            "small_description",
            "file_key",
            "thumbnail_url",
            "trailer_url",
        ),
        *("difficulty", "pricing_type", "price", "discount_price", "currency", "stripe_price_id", "duration_minutes"),
        *(
            "language",
            "prerequisites",
            "what_you_will_learn",
            "target_audience",
            "requirements",
            "tags",
            "max_students",
        ),
        *("certificate_enabled", "certificate_template"),
    }
)
_CHAPTER = frozenset({"title", "description", "position", "is_active", "unlock_points"})
# What a lesson plays is set by a command: a teacher who could name any content would own it. What it says too, since it is not read here.
_LESSON = _CHAPTER | {"content_type", "is_preview", "is_downloadable"}
_ASSESSMENT = frozenset(
    {
        *("title", "description", "file_key", "duration_minutes", "total_marks", "passing_marks", "required"),
        *("shuffle_questions", "show_result", "max_attempts", "due_date"),
    }
)
_QUESTION = frozenset({"question", "options", "marks", "position"})
_LIVE = frozenset({"title", "description", "scheduled_at", "duration_minutes"})
_REVIEW = frozenset({"rating", "comment"})

TABLES = (
    Table(
        "courses",
        frozenset({"read", "insert", "update"}),
        hidden=frozenset({"search"}),
        insertable=_COURSE | _ID,
        updatable=_COURSE,
        writers=SIGNED_IN,
    ),
    Table("chapters", EVERY_VERB, insertable=_CHAPTER | {"id", "course_id"}, updatable=_CHAPTER, writers=SIGNED_IN),
    # What a lesson says is given by view_lesson, to those who may open it.
    Table(
        "lessons",
        EVERY_VERB,
        hidden=frozenset({"text_content", "pdf_url"}),
        insertable=_LESSON | {"id", "course_id", "chapter_id"},
        updatable=_LESSON | {"chapter_id"},
        writers=SIGNED_IN,
    ),
    Table("enrollments"),
    Table("lesson_progress"),
    Table("lesson_watch_analytics"),
    Table("certificates"),
    Table("student_activity"),
    Table("student_badges"),
    Table("early_unlocks"),
    Table(
        "assessments",
        EVERY_VERB,
        hidden=frozenset({"missed_for"}),
        insertable=_ASSESSMENT | {"id", "course_id", "lesson_id", "type"},
        updatable=_ASSESSMENT,
        writers=SIGNED_IN,
    ),
    # Questions are added by a command, since the answer that goes with them is never read here.
    Table(
        "questions",
        frozenset({"read", "update", "delete"}),
        hidden=frozenset({"correct_answer"}),
        updatable=_QUESTION,
        writers=SIGNED_IN,
    ),
    # What came of an attempt is read in attempt_results, which keeps it from a student where the assessment does.
    Table("attempts", hidden=frozenset({"score", "correct_answers", "points_earned", "passed", "hand_marks"})),
    Table("attempt_results"),
    Table("assignment_submissions"),
    Table("proctoring_sessions"),
    Table("proctoring_violations"),
    Table(
        "live_sessions",
        frozenset({"read", "insert", "update"}),
        insertable=_LIVE | {"id", "course_id"},
        updatable=_LIVE,
        writers=SIGNED_IN,
    ),
    Table("live_session_participants"),
    Table(
        "support_calls",
        frozenset({"read", "insert", "update"}),
        insertable=frozenset({"id", "course_id", "stream_call_id", "title", "description"}),
        updatable=frozenset({"title", "description"}),
        writers=SIGNED_IN,
    ),
    Table("support_call_requests"),
    Table(
        "course_reviews",
        EVERY_VERB,
        insertable=_REVIEW | {"id", "course_id"},
        updatable=_REVIEW,
        writers=SIGNED_IN,
    ),
    Table(
        "teacher_applications",
        frozenset({"read", "insert"}),
        insertable=frozenset({"id", "application_data"}),
        writers=SIGNED_IN,
    ),
)
