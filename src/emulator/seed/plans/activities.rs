//! The properties of tasks, meetings, notes, calls and emails.

use super::options::TASK_STATUS;
use crate::emulator::seed::doings::ActivityFact;
use crate::emulator::seed::plan::{Make, Plan};
use crate::emulator::seed::words;

pub(super) const TASKS: &[Plan] = &[
    Plan::area("hs_task_body", "Task notes", Make::Note(60)),
    Plan::text("hs_task_subject", "Task title", Make::Activity(ActivityFact::Title)),
    Plan::choice(
        "hs_task_status",
        "Task status",
        TASK_STATUS,
        Make::Activity(ActivityFact::TaskStatus),
    ),
    Plan::choice(
        "hs_task_priority",
        "Priority",
        &[("NONE", "None"), ("LOW", "Low"), ("MEDIUM", "Medium"), ("HIGH", "High")],
        Make::Option(100),
    ),
    Plan::choice(
        "hs_task_type",
        "Task type",
        &[("TODO", "To-do"), ("CALL", "Call"), ("EMAIL", "Email"), ("LINKED_IN", "LinkedIn")],
        Make::Option(100),
    ),
    Plan::moment(
        "hs_task_completion_date",
        "Completed at",
        Make::Activity(ActivityFact::TaskDoneAt),
    )
    .read_only(),
    Plan::number(
        "hs_task_completion_count",
        "Completion count",
        Make::Activity(ActivityFact::TaskDone),
    )
    .read_only(),
    Plan::text("hs_task_family", "Task family", Make::Fixed("SALES")).read_only(),
    Plan::text("hs_task_for_object_type", "Task for", Make::Fixed("OWNER")).read_only(),
    Plan::text("hs_task_is_all_day", "All day", Make::Fixed("false")),
    Plan::number("hs_task_is_completed", "Is completed", Make::Activity(ActivityFact::TaskDone))
        .read_only(),
    Plan::number("hs_task_is_completed_call", "Is completed call", Make::Nothing).read_only(),
    Plan::number("hs_task_is_completed_email", "Is completed email", Make::Nothing).read_only(),
    Plan::number("hs_task_is_completed_linked_in", "Is completed LinkedIn", Make::Nothing)
        .read_only(),
    Plan::number("hs_task_is_completed_sequence", "Is completed sequence", Make::Nothing)
        .read_only(),
    Plan::text("hs_task_is_overdue", "Is overdue", Make::Nothing).read_only(),
    Plan::text("hs_task_is_past_due_date", "Is past due date", Make::Nothing).read_only(),
    Plan::text("hs_task_missed_due_date", "Missed due date", Make::Nothing).read_only(),
    Plan::number("hs_task_missed_due_date_count", "Missed due dates", Make::Nothing).read_only(),
];

pub(super) const MEETINGS: &[Plan] = &[
    Plan::text("hs_meeting_title", "Meeting name", Make::Activity(ActivityFact::Title)),
    Plan::area("hs_meeting_body", "Meeting description", Make::Activity(ActivityFact::Body)),
    Plan::moment("hs_meeting_start_time", "Meeting start time", Make::Happened),
    Plan::moment("hs_meeting_end_time", "Meeting end time", Make::Activity(ActivityFact::End)),
    Plan::choice(
        "hs_meeting_outcome",
        "Meeting outcome",
        &[
            ("SCHEDULED", "Scheduled"),
            ("COMPLETED", "Completed"),
            ("RESCHEDULED", "Rescheduled"),
            ("NO_SHOW", "No show"),
            ("CANCELED", "Canceled"),
        ],
        Make::Option(80),
    ),
    Plan::text("hs_meeting_source", "Meeting source", Make::Fixed("CRM_UI")).read_only(),
    Plan::text("hs_meeting_location", "Meeting location", Make::Pick(words::STREET, 30)),
];

pub(super) const NOTES: &[Plan] =
    &[Plan::area("hs_note_body", "Note body", Make::Activity(ActivityFact::Body))];

pub(super) const CALLS: &[Plan] = &[
    Plan::text("hs_call_title", "Call title", Make::Activity(ActivityFact::Title)),
    Plan::area("hs_call_body", "Call notes", Make::Activity(ActivityFact::Body)),
    Plan::number("hs_call_duration", "Call duration", Make::Whole(3_600_000, 80)),
    Plan::choice(
        "hs_call_direction",
        "Call direction",
        &[("INBOUND", "Inbound"), ("OUTBOUND", "Outbound")],
        Make::Option(95),
    ),
    Plan::text(
        "hs_call_status",
        "Call status",
        Make::Pick(&["COMPLETED", "NO_ANSWER", "BUSY"], 100),
    ),
    Plan::text("hs_call_disposition", "Call outcome", Make::Pick(words::OUTCOME, 60)),
    Plan::text("hs_call_from_number", "From number", Make::Phone(60)),
    Plan::text("hs_call_to_number", "To number", Make::Phone(60)),
    Plan::text("hs_call_recording_url", "Recording URL", Make::Nothing),
    Plan::flag("hs_call_has_transcript", "Has a transcript", 0).read_only(),
    Plan::text("hs_call_source", "Call source", Make::Nothing).read_only(),
    Plan::text("hs_call_summary", "Call summary", Make::Nothing).read_only(),
    Plan::text("hs_call_callee_object_id", "Called record", Make::Nothing).read_only(),
];

pub(super) const EMAILS: &[Plan] = &[
    Plan::text("hs_email_subject", "Email subject", Make::Activity(ActivityFact::Title)),
    Plan::area("hs_email_text", "Email body", Make::Activity(ActivityFact::Body)),
    Plan::area("hs_email_html", "Email HTML", Make::Activity(ActivityFact::Body)),
    Plan::choice(
        "hs_email_direction",
        "Email direction",
        &[("EMAIL", "Email"), ("INCOMING_EMAIL", "Incoming"), ("FORWARDED_EMAIL", "Forwarded")],
        Make::Option(100),
    ),
    Plan::text(
        "hs_email_status",
        "Email send status",
        Make::Pick(&["SENT", "SENT", "BOUNCED"], 100),
    ),
    Plan::text("hs_email_to_email", "Email to address", Make::Activity(ActivityFact::To))
        .read_only(),
    Plan::text("hs_email_to_domain", "Email to domain", Make::Activity(ActivityFact::ToDomain))
        .read_only(),
    Plan::text(
        "hs_email_from_email",
        "Email from address",
        Make::Fixed("alma@hublake-demo.example"),
    )
    .read_only(),
    Plan::text("hs_email_headers", "Email headers", Make::Nothing).read_only(),
    Plan::text("hs_email_thread_id", "Email thread ID", Make::LongId(70)).read_only(),
    Plan::number("hs_email_open_count", "Number of email opens", Make::Whole(9, 60)).read_only(),
    Plan::number("hs_email_click_count", "Number of email clicks", Make::Whole(4, 30)).read_only(),
    Plan::text("hs_email_bounce_error_detail_message", "Bounce error message", Make::Nothing)
        .read_only(),
    Plan::text("hs_email_cc_email", "Email CC address", Make::Nothing).read_only(),
    Plan::text("hs_email_bcc_email", "Email BCC address", Make::Nothing).read_only(),
];
