//! The properties of tickets whose values hang together or that people use.

use super::options::{PRIORITY, TICKET_CATEGORY};
use crate::emulator::seed::facts::TicketFact;
use crate::emulator::seed::plan::{Make, Plan};

/// Tickets.
pub(super) const TICKETS: &[Plan] = &[
    Plan::moment("closed_date", "Close date", Make::Moment(40)),
    Plan::area("content", "Ticket description", Make::Note(90)),
    Plan::moment("createdate", "Create date", Make::Created),
    Plan::moment("hs_helpdesk_sort_timestamp", "Help desk sort timestamp", Make::Created)
        .read_only(),
    Plan::flag("hs_last_message_from_visitor", "Last message from visitor", 90).read_only(),
    Plan::moment("hs_lastmodifieddate", "Last modified date", Make::Modified).read_only(),
    Plan::text("hs_merged_object_ids", "Merged record IDs", Make::MergedIds).read_only(),
    Plan::number("hs_object_id", "Record ID", Make::Id).read_only(),
    Plan::choice("hs_pipeline", "Pipeline", &[], Make::Fixed("0")),
    Plan::choice("hs_pipeline_stage", "Ticket status", &[], Make::Ticket(TicketFact::Stage)),
    Plan::choices("hs_ticket_category", "Category", TICKET_CATEGORY, Make::Options(60)),
    Plan::text("hs_ticket_id", "Ticket ID", Make::Id).read_only(),
    Plan::choice("hs_ticket_priority", "Priority", PRIORITY, Make::Option(70)),
    Plan::owner("hubspot_owner_id", "Ticket owner", 70),
    Plan::text("subject", "Ticket name", Make::Ticket(TicketFact::Subject)),
    Plan::text("source_reference", "Source reference", Make::Nothing).unique().custom(),
];
