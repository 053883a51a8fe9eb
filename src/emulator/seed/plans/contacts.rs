//! The properties of contacts whose values hang together or that people use.

use super::options::{INDUSTRY, INTERESTS, LANGUAGE, LEAD_STATUS, LIFECYCLE, ROLES, SOURCE};
use crate::emulator::seed::facts::PersonFact;
use crate::emulator::seed::plan::{Make, Plan};
use crate::emulator::seed::words;

/// Contacts.
pub(super) const CONTACTS: &[Plan] = &[
    Plan::text("address", "Street Address", Make::Pick(words::STREET, 30)),
    Plan::number("annualrevenue", "Annual Revenue", Make::Decimal(5_000_000, 10)),
    Plan::number(
        "associatedcompanyid",
        "Primary Associated Company ID",
        Make::Person(PersonFact::CompanyId),
    )
    .read_only(),
    Plan::text("city", "City", Make::Pick(words::CITY, 60)),
    Plan::moment("closedate", "Close Date", Make::Moment(10)),
    Plan::text("company", "Company Name", Make::Person(PersonFact::CompanyName)),
    Plan::text("country", "Country/Region", Make::Pick(words::COUNTRY, 70)),
    Plan::moment("createdate", "Create Date", Make::Created).read_only(),
    Plan::number("days_to_close", "Days To Close", Make::Whole(400, 10)).read_only(),
    Plan::text("email", "Email", Make::Person(PersonFact::Email)).unique(),
    Plan::text("fax", "Fax Number", Make::Nothing),
    Plan::moment("first_conversion_date", "First Conversion Date", Make::Moment(40)).read_only(),
    Plan::text(
        "first_conversion_event_name",
        "First Conversion",
        Make::Pick(&["Newsletter: Footer", "Demo request: /demo"], 40),
    )
    .read_only(),
    Plan::text("firstname", "First Name", Make::Person(PersonFact::First)),
    Plan::text(
        "hs_additional_emails",
        "Additional email addresses",
        Make::Person(PersonFact::AdditionalEmails),
    ),
    Plan::number("hs_analytics_average_page_views", "Average Pageviews", Make::Whole(9, 80))
        .read_only(),
    Plan::number("hs_analytics_num_page_views", "Number of Pageviews", Make::Whole(300, 80))
        .read_only(),
    Plan::number("hs_analytics_num_visits", "Number of Sessions", Make::Whole(60, 80)).read_only(),
    Plan::number("hs_analytics_revenue", "Event Revenue", Make::Fixed("0.0")).read_only(),
    Plan::choice("hs_analytics_source", "Original Traffic Source", SOURCE, Make::Option(95))
        .read_only(),
    Plan::text(
        "hs_analytics_source_data_1",
        "Original Traffic Source Drill-Down 1",
        Make::Pick(&["API", "CRM_UI", "Newsletter"], 90),
    )
    .read_only(),
    Plan::choices("hs_buying_role", "Buying Role", ROLES, Make::Options(15)),
    Plan::text(
        "hs_calculated_merged_vids",
        "Merged vids with timestamps of a contact",
        Make::MergedVids,
    )
    .read_only(),
    Plan::text("hs_email_domain", "Email Domain", Make::Person(PersonFact::EmailDomain))
        .read_only(),
    Plan::flag("hs_email_optout", "Unsubscribed from all email", 60),
    Plan::text("hs_full_name_or_email", "Full name or email", Make::Person(PersonFact::FullName))
        .read_only(),
    Plan::number("hs_hd_ticket_ids", "Help Desk Ticket Ids", Make::FalseNumber(90_000, 20))
        .read_only(),
    Plan::flag("hs_is_unworked", "Contact unworked", 90).read_only(),
    Plan::choice("hs_language", "Preferred language", LANGUAGE, Make::Option(50)),
    Plan::moment("hs_last_sales_activity_timestamp", "Last Engagement Date", Make::Moment(30))
        .read_only(),
    Plan::choice("hs_latest_source", "Latest Traffic Source", SOURCE, Make::Option(90)).read_only(),
    Plan::choice("hs_lead_status", "Lead Status", LEAD_STATUS, Make::Option(45)),
    Plan::moment("hs_lifecyclestage_customer_date", "Became a Customer Date", Make::Moment(12))
        .read_only(),
    Plan::moment("hs_lifecyclestage_lead_date", "Became a Lead Date", Make::Moment(70)).read_only(),
    Plan::text("hs_merged_object_ids", "Merged record IDs", Make::MergedIds).read_only(),
    Plan::number("hs_object_id", "Record ID", Make::Id).read_only(),
    Plan::text("hs_searchable_calculated_phone_number", "Searchable phone number", Make::Nothing)
        .read_only(),
    Plan::number("hs_time_in_lead", "Time in Lead", Make::Whole(9_000_000_000, 60)).read_only(),
    Plan::text(
        "hs_timezone",
        "Time Zone",
        Make::Pick(&["europe_slash_berlin", "us_slash_eastern"], 30),
    ),
    Plan::moment("hubspot_owner_assigneddate", "Owner Assigned Date", Make::Moment(60)).read_only(),
    Plan::owner("hubspot_owner_id", "Contact owner", 60),
    Plan::choice("industry", "Industry", INDUSTRY, Make::Option(20)),
    Plan::text("jobtitle", "Job Title", Make::Pick(words::JOB, 70)),
    Plan::moment("lastmodifieddate", "Last Modified Date", Make::Modified).read_only(),
    Plan::text("lastname", "Last Name", Make::Person(PersonFact::Last)),
    Plan::choice("lifecyclestage", "Lifecycle Stage", LIFECYCLE, Make::Person(PersonFact::Stage)),
    Plan::area("message", "Message", Make::Note(15)),
    Plan::text("mobilephone", "Mobile Phone Number", Make::Phone(25)),
    Plan::moment("notes_last_contacted", "Last Contacted", Make::Moment(35)).read_only(),
    Plan::moment("notes_last_updated", "Last Activity Date", Make::Moment(45)).read_only(),
    Plan::number("num_associated_deals", "Number of Associated Deals", Make::Whole(3, 20))
        .read_only(),
    Plan::number("num_conversion_events", "Number of Form Submissions", Make::Whole(6, 80))
        .read_only(),
    Plan::number("num_notes", "Number of Sales Activities", Make::Whole(40, 60)).read_only(),
    Plan::number("numemployees", "Number of Employees", Make::Whole(5_000, 30)),
    Plan::text("phone", "Phone Number", Make::Person(PersonFact::Phone)),
    Plan::text("salutation", "Salutation", Make::Pick(&["Ms", "Mr", "Dr", "Frau", "Herr"], 20)),
    Plan::text("state", "State/Region", Make::Pick(words::STATE, 25)),
    Plan::number("total_revenue", "Total Revenue", Make::Decimal(90_000, 12)).read_only(),
    Plan::text("twitterhandle", "Twitter Username", Make::Pick(words::PROFILES, 3)),
    Plan::text("website", "Website URL", Make::Person(PersonFact::Website)),
    Plan::text("zip", "Postal Code", Make::Whole(99_999, 50)),
    Plan::text("app_user_id", "App user id", Make::Person(PersonFact::UserId)).unique().custom(),
    Plan::day("contract_start", "Contract start", Make::Day(25)).custom(),
    Plan::choices("product_interests", "Product interests", INTERESTS, Make::Options(40)).custom(),
    Plan::flag("beta_tester", "Beta tester", 30).custom(),
    Plan::number("satisfaction_score", "Satisfaction score", Make::Whole(11, 25)).custom(),
    Plan::moment("last_training_at", "Last training", Make::Moment(15)).custom(),
];
