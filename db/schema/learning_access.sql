-- Who may open a lesson or take part in a course now. For what is played, entitlement() asks the same of a content.

CREATE FUNCTION subscribed_to_courses(viewer uuid, at timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM subscriptions s JOIN plans p ON p.id = s.plan_id
                   WHERE s.user_id = viewer AND s.status IN ('trialing', 'active', 'past_due') AND s.current_period_end > at AND p.opens_courses)
$$;

-- A course that is open to subscribers stays open to those who enrolled in it while their subscription runs, or for good if it was bought.
CREATE FUNCTION takes_course(viewer uuid, wanted uuid, at timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM enrollments e JOIN courses c ON c.id = e.course_id
                   WHERE e.user_id = viewer AND e.course_id = wanted AND enrollment_is_open(e, at) AND c.status IN ('published', 'archived')
                   AND (c.pricing_type <> 'subscription' OR e.order_id IS NOT NULL OR subscribed_to_courses(viewer, at)))
$$;
COMMENT ON FUNCTION takes_course(uuid, uuid, timestamptz) IS 'Enrolled, not past the end, not banned, and what the enrolment rests on still runs.';

CREATE FUNCTION lesson_access(viewer uuid, wanted uuid, at timestamptz)
RETURNS TABLE (course_id uuid, enrollment_id uuid, is_teacher boolean, is_preview boolean, is_released boolean, is_unlocked boolean, takes boolean)
LANGUAGE sql STABLE AS $$
    SELECT l.course_id, e.id, c.teacher_id = viewer, l.is_preview AND c.status = 'published',
           l.is_active AND h.is_active
           AND (l.status = 'published' OR (l.status = 'scheduled' AND l.release_at <= at))
           AND (h.status = 'published' OR (h.status = 'scheduled' AND h.release_at <= at)),
           l.is_active AND h.is_active AND l.status <> 'draft' AND h.status <> 'draft' AND EXISTS (
               SELECT FROM early_unlocks u WHERE u.user_id = viewer AND (u.lesson_id = l.id OR u.chapter_id = l.chapter_id)),
           takes_course(viewer, l.course_id, at)
           OR (c.pricing_type = 'subscription' AND c.status = 'published' AND subscribed_to_courses(viewer, at)
               AND NOT coalesce(e.banned AND (e.ban_until IS NULL OR e.ban_until > at), false))
    FROM lessons l JOIN chapters h ON h.id = l.chapter_id JOIN courses c ON c.id = l.course_id
    LEFT JOIN enrollments e ON e.course_id = l.course_id AND e.user_id = viewer
    WHERE l.id = wanted
$$;
COMMENT ON FUNCTION lesson_access(uuid, uuid, timestamptz) IS
    'One row for a lesson. It may be opened by its teacher; by anyone if is_preview and is_released; by who takes the course if is_released or is_unlocked.';

-- What a lesson asks for before it counts as complete. Practice is never asked for.
CREATE FUNCTION lesson_requirement(person uuid, wanted uuid) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT a.id FROM assessments a
    WHERE a.lesson_id = wanted AND a.required AND a.type <> 'practice'
      AND NOT EXISTS (SELECT FROM attempts t WHERE t.assessment_id = a.id AND t.user_id = person AND t.status IN ('submitted', 'graded'))
      AND NOT EXISTS (SELECT FROM assignment_submissions s WHERE s.assessment_id = a.id AND s.user_id = person)
$$;
COMMENT ON FUNCTION lesson_requirement(uuid, uuid) IS 'The required quiz or assignment of the lesson that this person has not handed in; null when nothing is missing.';
