//! The properties of deals whose values hang together or that people use.

use super::options::{DEAL_TYPE, PRIORITY};
use crate::emulator::seed::facts::DealFact;
use crate::emulator::seed::plan::{Make, Plan};
use crate::emulator::seed::words;

/// Deals.
pub(super) const DEALS: &[Plan] = &[
    Plan::number("amount", "Amount", Make::Deal(DealFact::Amount)),
    Plan::number("amount_in_home_currency", "Amount in company currency", Make::Nothing)
        .read_only(),
    Plan::moment("closedate", "Close Date", Make::Deal(DealFact::CloseDate)),
    Plan::moment("createdate", "Create Date", Make::Created),
    Plan::number("days_to_close", "Days to close", Make::Whole(400, 50)).read_only(),
    Plan::text("deal_currency_code", "Currency", Make::Fixed("USD")),
    Plan::text("dealname", "Deal Name", Make::Deal(DealFact::Name)),
    Plan::choice("dealstage", "Deal Stage", &[], Make::Deal(DealFact::Stage)),
    Plan::choice("dealtype", "Deal Type", DEAL_TYPE, Make::Option(60)),
    Plan::area("description", "Deal Description", Make::Pick(words::REMARK, 25)),
    Plan::number("hs_acv", "Annual contract value", Make::Decimal(90_000, 30)),
    Plan::moment("hs_closed_won_date", "Closed Won Date", Make::Moment(15)).read_only(),
    Plan::number(
        "hs_deal_stage_probability",
        "Deal probability",
        Make::Pick(
            &[
                "0.200000000000000011102230246251565404236316680908203125",
                "0.90000000000000002220446049250313080847263336181640625",
                "1",
                "0",
            ],
            100,
        ),
    )
    .read_only(),
    Plan::flag("hs_is_closed", "Is Deal Closed?", 100).read_only(),
    Plan::flag("hs_is_closed_won", "Is Closed Won", 100).read_only(),
    Plan::moment("hs_lastmodifieddate", "Last Modified Date", Make::Modified).read_only(),
    Plan::text("hs_merged_object_ids", "Merged record IDs", Make::MergedIds).read_only(),
    Plan::text("hs_next_step", "Next step", Make::Pick(words::REMARK, 20)),
    Plan::number("hs_object_id", "Record ID", Make::Id).read_only(),
    Plan::choice("hs_priority", "Priority", PRIORITY, Make::Option(35)),
    Plan::owner("hubspot_owner_id", "Deal owner", 85),
    Plan::moment("notes_last_contacted", "Last Contacted", Make::Moment(55)).read_only(),
    Plan::number("num_associated_contacts", "Number of Associated Contacts", Make::Whole(3, 100))
        .read_only(),
    Plan::choice("pipeline", "Pipeline", &[], Make::Deal(DealFact::Pipeline)),
    Plan::text("order_reference", "Order reference", Make::Nothing).unique().custom(),
];
