//! The properties a fresh account has, per object type.

use super::facts::{CompanyFact, DealFact, PersonFact, TicketFact};
use super::plan::{Make, Plan};
use super::words;

type Options = &'static [(&'static str, &'static str)];

const LIFECYCLE: Options = &[
    ("subscriber", "Subscriber"),
    ("lead", "Lead"),
    ("marketingqualifiedlead", "Marketing Qualified Lead"),
    ("salesqualifiedlead", "Sales Qualified Lead"),
    ("opportunity", "Opportunity"),
    ("customer", "Customer"),
    ("evangelist", "Evangelist"),
    ("other", "Other"),
];

const LEAD_STATUS: Options = &[
    ("NEW", "New"),
    ("OPEN", "Open"),
    ("IN_PROGRESS", "In Progress"),
    ("OPEN_DEAL", "Open Deal"),
    ("UNQUALIFIED", "Unqualified"),
    ("ATTEMPTED_TO_CONTACT", "Attempted to Contact"),
    ("CONNECTED", "Connected"),
    ("BAD_TIMING", "Bad Timing"),
];

const SOURCE: Options = &[
    ("ORGANIC_SEARCH", "Organic Search"),
    ("PAID_SEARCH", "Paid Search"),
    ("EMAIL_MARKETING", "Email Marketing"),
    ("SOCIAL_MEDIA", "Organic Social"),
    ("REFERRALS", "Referrals"),
    ("DIRECT_TRAFFIC", "Direct Traffic"),
    ("OFFLINE", "Offline Sources"),
];

const INDUSTRY: Options = &[
    ("COMPUTER_SOFTWARE", "Computer Software"),
    ("FOOD_PRODUCTION", "Food Production"),
    ("LOGISTICS_AND_SUPPLY_CHAIN", "Logistics and Supply Chain"),
    ("HOSPITAL_HEALTH_CARE", "Hospital & Health Care"),
    ("RENEWABLES_ENVIRONMENT", "Renewables & Environment"),
    ("RETAIL", "Retail"),
];

const LANGUAGE: Options =
    &[("de", "German"), ("en", "English"), ("fr", "French"), ("ja", "Japanese")];

const INTERESTS: Options = &[
    ("api", "API"),
    ("reporting", "Reporting"),
    ("security", "Security"),
    ("integrations", "Integrations"),
    ("pricing", "Pricing"),
];

const ROLES: Options = &[
    ("BLOCKER", "Blocker"),
    ("BUDGET_HOLDER", "Budget Holder"),
    ("CHAMPION", "Champion"),
    ("DECISION_MAKER", "Decision Maker"),
    ("END_USER", "End User"),
];

const OBJECT_SOURCE: Options = &[
    ("INTEGRATION", "Integration"),
    ("CRM_UI", "CRM UI"),
    ("IMPORT", "Import"),
    ("API", "API"),
    ("MERGE_OBJECTS", "Merge objects"),
];

const PLAN_TIER: Options = &[("free", "Free"), ("team", "Team"), ("business", "Business")];

const DEAL_TYPE: Options =
    &[("newbusiness", "New Business"), ("existingbusiness", "Existing Business")];

const PRIORITY: Options =
    &[("LOW", "Low"), ("MEDIUM", "Medium"), ("HIGH", "High"), ("URGENT", "Urgent")];

const TICKET_CATEGORY: Options = &[
    ("PRODUCT_ISSUE", "Product Issue"),
    ("BILLING_ISSUE", "Billing Issue"),
    ("FEATURE_REQUEST", "Feature Request"),
    ("GENERAL_INQUIRY", "General Inquiry"),
];

/// Contacts.
const CONTACTS: &[Plan] = &[
    Plan::text("address", "Street Address", Make::Nothing),
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
        Make::Nothing,
    )
    .read_only(),
    Plan::text("hs_email_domain", "Email Domain", Make::Person(PersonFact::EmailDomain))
        .read_only(),
    Plan::flag("hs_email_optout", "Unsubscribed from all email", 60),
    Plan::text("hs_full_name_or_email", "Full name or email", Make::Person(PersonFact::Last))
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
    Plan::choice("hs_object_source", "Record creation source", OBJECT_SOURCE, Make::Option(100))
        .read_only(),
    Plan::text(
        "hs_object_source_id",
        "Record creation source ID",
        Make::Pick(&["1024738", "userId:5555888"], 80),
    )
    .read_only(),
    Plan::text(
        "hs_object_source_label",
        "Record source",
        Make::Pick(&["INTEGRATION", "CRM_UI", "IMPORT"], 100),
    )
    .read_only(),
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
    Plan::area("message", "Message", Make::Pick(words::REMARK, 15)),
    Plan::text("mobilephone", "Mobile Phone Number", Make::Nothing),
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
    Plan::text("state", "State/Region", Make::Nothing),
    Plan::number("total_revenue", "Total Revenue", Make::Decimal(90_000, 12)).read_only(),
    Plan::text("twitterhandle", "Twitter Username", Make::Nothing),
    Plan::text("website", "Website URL", Make::Person(PersonFact::Website)),
    Plan::text("zip", "Postal Code", Make::Whole(99_999, 50)),
    Plan::text("app_user_id", "App user id", Make::Person(PersonFact::UserId)).unique().custom(),
    Plan::day("contract_start", "Contract start", Make::Day(25)).custom(),
    Plan::choices("product_interests", "Product interests", INTERESTS, Make::Options(40)).custom(),
    Plan::flag("beta_tester", "Beta tester", 30).custom(),
    Plan::number("satisfaction_score", "Satisfaction score", Make::Whole(11, 25)).custom(),
    Plan::moment("last_training_at", "Last training", Make::Moment(15)).custom(),
];

/// Companies.
const COMPANIES: &[Plan] = &[
    Plan::text("address", "Street Address", Make::Nothing),
    Plan::number("annualrevenue", "Annual Revenue", Make::Decimal(90_000_000, 40)),
    Plan::text("city", "City", Make::Pick(words::CITY, 80)),
    Plan::moment("closedate", "Close Date", Make::Moment(20)),
    Plan::text("country", "Country/Region", Make::Pick(words::COUNTRY, 85)),
    Plan::moment("createdate", "Create Date", Make::Created).read_only(),
    Plan::area("description", "Description", Make::Pick(words::REMARK, 30)),
    Plan::text("domain", "Company Domain Name", Make::Company(CompanyFact::Domain)),
    Plan::number("founded_year", "Year Founded", Make::Whole(2_020, 20)),
    Plan::text("hs_additional_domains", "Additional Domains", Make::Nothing),
    Plan::choice("hs_analytics_source", "Original Traffic Source", SOURCE, Make::Option(90))
        .read_only(),
    Plan::moment("hs_lastmodifieddate", "Last Modified Date", Make::Modified).read_only(),
    Plan::choice("hs_lead_status", "Lead Status", LEAD_STATUS, Make::Option(30)),
    Plan::text("hs_merged_object_ids", "Merged record IDs", Make::MergedIds).read_only(),
    Plan::number("hs_num_child_companies", "Number of child companies", Make::Fixed("0"))
        .read_only(),
    Plan::number("hs_num_open_deals", "Number of open deals", Make::Whole(4, 60)).read_only(),
    Plan::number("hs_object_id", "Record ID", Make::Id).read_only(),
    Plan::choice("hs_object_source", "Record creation source", OBJECT_SOURCE, Make::Option(100))
        .read_only(),
    Plan::text(
        "hs_object_source_id",
        "Record creation source ID",
        Make::Pick(&["1024738", "userId:5555888"], 80),
    )
    .read_only(),
    Plan::text(
        "hs_object_source_label",
        "Record source",
        Make::Pick(&["INTEGRATION", "CRM_UI", "IMPORT"], 100),
    )
    .read_only(),
    Plan::owner("hubspot_owner_id", "Company owner", 70),
    Plan::choice("industry", "Industry", INDUSTRY, Make::Option(60)),
    Plan::flag("is_public", "Is Public", 40),
    Plan::choice("lifecyclestage", "Lifecycle Stage", LIFECYCLE, Make::Company(CompanyFact::Stage)),
    Plan::text("linkedin_company_page", "LinkedIn Company Page", Make::Nothing),
    Plan::text("name", "Company name", Make::Company(CompanyFact::Name)),
    Plan::moment("notes_last_contacted", "Last Contacted", Make::Moment(45)).read_only(),
    Plan::moment("notes_last_updated", "Last Activity Date", Make::Moment(50)).read_only(),
    Plan::number("num_associated_contacts", "Number of Associated Contacts", Make::Whole(30, 90))
        .read_only(),
    Plan::number("num_associated_deals", "Number of Associated Deals", Make::Whole(5, 50))
        .read_only(),
    Plan::number("numberofemployees", "Number of Employees", Make::Whole(20_000, 60)),
    Plan::text("phone", "Phone Number", Make::Nothing),
    Plan::text("state", "State/Region", Make::Nothing),
    Plan::text("timezone", "Time Zone", Make::Pick(&["Europe/Berlin", "America/New_York"], 30)),
    Plan::number("total_revenue", "Total Revenue", Make::Decimal(900_000, 20)).read_only(),
    Plan::text("website", "Website URL", Make::Company(CompanyFact::Website)),
    Plan::text("zip", "Postal Code", Make::Whole(99_999, 50)),
    Plan::text("account_key", "Account key", Make::Company(CompanyFact::AccountKey))
        .unique()
        .custom(),
    Plan::choice("plan_tier", "Plan tier", PLAN_TIER, Make::Option(55)).custom(),
    Plan::day("renewal_date", "Renewal date", Make::Day(30)).custom(),
];

/// Deals.
const DEALS: &[Plan] = &[
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
    Plan::text("hs_merged_object_ids", "Merged record IDs", Make::Nothing).read_only(),
    Plan::text("hs_next_step", "Next step", Make::Pick(words::REMARK, 20)),
    Plan::number("hs_object_id", "Record ID", Make::Id).read_only(),
    Plan::choice("hs_object_source", "Record creation source", OBJECT_SOURCE, Make::Option(100))
        .read_only(),
    Plan::text(
        "hs_object_source_id",
        "Record creation source ID",
        Make::Pick(&["1024738", "userId:5555888"], 80),
    )
    .read_only(),
    Plan::text(
        "hs_object_source_label",
        "Record source",
        Make::Pick(&["INTEGRATION", "CRM_UI", "IMPORT"], 100),
    )
    .read_only(),
    Plan::choice("hs_priority", "Priority", PRIORITY, Make::Option(35)),
    Plan::owner("hubspot_owner_id", "Deal owner", 85),
    Plan::moment("notes_last_contacted", "Last Contacted", Make::Moment(55)).read_only(),
    Plan::number("num_associated_contacts", "Number of Associated Contacts", Make::Whole(3, 100))
        .read_only(),
    Plan::choice("pipeline", "Pipeline", &[], Make::Deal(DealFact::Pipeline)),
    Plan::text("order_reference", "Order reference", Make::Nothing).unique().custom(),
];

/// Tickets.
const TICKETS: &[Plan] = &[
    Plan::moment("closed_date", "Close date", Make::Moment(40)),
    Plan::area("content", "Ticket description", Make::Pick(words::REMARK, 90)),
    Plan::moment("createdate", "Create date", Make::Created),
    Plan::moment("hs_helpdesk_sort_timestamp", "Help desk sort timestamp", Make::Created)
        .read_only(),
    Plan::flag("hs_last_message_from_visitor", "Last message from visitor", 90).read_only(),
    Plan::moment("hs_lastmodifieddate", "Last modified date", Make::Modified).read_only(),
    Plan::text("hs_merged_object_ids", "Merged record IDs", Make::Nothing).read_only(),
    Plan::number("hs_object_id", "Record ID", Make::Id).read_only(),
    Plan::choice("hs_object_source", "Record creation source", OBJECT_SOURCE, Make::Option(100))
        .read_only(),
    Plan::text(
        "hs_object_source_id",
        "Record creation source ID",
        Make::Pick(&["1024738", "userId:5555888"], 80),
    )
    .read_only(),
    Plan::text(
        "hs_object_source_label",
        "Record source",
        Make::Pick(&["INTEGRATION", "CRM_UI", "IMPORT"], 100),
    )
    .read_only(),
    Plan::choice("hs_pipeline", "Pipeline", &[], Make::Fixed("0")),
    Plan::choice("hs_pipeline_stage", "Ticket status", &[], Make::Ticket(TicketFact::Stage)),
    Plan::choices("hs_ticket_category", "Category", TICKET_CATEGORY, Make::Options(60)),
    Plan::text("hs_ticket_id", "Ticket ID", Make::Id).read_only(),
    Plan::choice("hs_ticket_priority", "Priority", PRIORITY, Make::Option(70)),
    Plan::owner("hubspot_owner_id", "Ticket owner", 70),
    Plan::text("subject", "Ticket name", Make::Ticket(TicketFact::Subject)),
    Plan::text("source_reference", "Source reference", Make::Nothing).unique().custom(),
];

const TASK_STATUS: Options = &[
    ("NOT_STARTED", "Not started"),
    ("IN_PROGRESS", "In progress"),
    ("COMPLETED", "Completed"),
    ("WAITING", "Waiting"),
    ("DEFERRED", "Deferred"),
];

const TASKS: &[Plan] = &[
    Plan::area("hs_task_body", "Task notes", Make::Nothing),
    Plan::text("hs_task_subject", "Task title", Make::Nothing),
    Plan::choice("hs_task_status", "Task status", TASK_STATUS, Make::Nothing),
    Plan::choice(
        "hs_task_priority",
        "Priority",
        &[("NONE", "None"), ("LOW", "Low"), ("MEDIUM", "Medium"), ("HIGH", "High")],
        Make::Nothing,
    ),
    Plan::choice(
        "hs_task_type",
        "Task type",
        &[("TODO", "To-do"), ("CALL", "Call"), ("EMAIL", "Email"), ("LINKED_IN", "LinkedIn")],
        Make::Nothing,
    ),
    Plan::moment("hs_task_completion_date", "Completed at", Make::Nothing).read_only(),
    Plan::number("hs_task_completion_count", "Completion count", Make::Nothing).read_only(),
    Plan::text("hs_task_family", "Task family", Make::Nothing).read_only(),
    Plan::text("hs_task_for_object_type", "Task for", Make::Nothing).read_only(),
    Plan::text("hs_task_is_all_day", "All day", Make::Nothing),
    Plan::number("hs_task_is_completed", "Is completed", Make::Nothing).read_only(),
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

const MEETINGS: &[Plan] = &[
    Plan::text("hs_meeting_title", "Meeting name", Make::Nothing),
    Plan::area("hs_meeting_body", "Meeting description", Make::Nothing),
    Plan::moment("hs_meeting_start_time", "Meeting start time", Make::Nothing),
    Plan::moment("hs_meeting_end_time", "Meeting end time", Make::Nothing),
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
        Make::Nothing,
    ),
    Plan::text("hs_meeting_source", "Meeting source", Make::Nothing).read_only(),
    Plan::text("hs_meeting_location", "Meeting location", Make::Nothing),
];

const NOTES: &[Plan] = &[Plan::area("hs_note_body", "Note body", Make::Nothing)];

const CALLS: &[Plan] = &[
    Plan::text("hs_call_title", "Call title", Make::Nothing),
    Plan::area("hs_call_body", "Call notes", Make::Nothing),
    Plan::number("hs_call_duration", "Call duration", Make::Nothing),
    Plan::choice(
        "hs_call_direction",
        "Call direction",
        &[("INBOUND", "Inbound"), ("OUTBOUND", "Outbound")],
        Make::Nothing,
    ),
    Plan::text("hs_call_status", "Call status", Make::Nothing),
];

const EMAILS: &[Plan] = &[
    Plan::text("hs_email_subject", "Email subject", Make::Nothing),
    Plan::area("hs_email_text", "Email body", Make::Nothing),
    Plan::area("hs_email_html", "Email HTML", Make::Nothing),
    Plan::choice(
        "hs_email_direction",
        "Email direction",
        &[("EMAIL", "Email"), ("INCOMING_EMAIL", "Incoming"), ("FORWARDED_EMAIL", "Forwarded")],
        Make::Nothing,
    ),
    Plan::text("hs_email_status", "Email send status", Make::Nothing),
];

const PRODUCTS: &[Plan] = &[
    Plan::text("name", "Name", Make::Nothing),
    Plan::area("description", "Product description", Make::Nothing),
    Plan::number("price", "Unit price", Make::Nothing),
    Plan::text("hs_sku", "SKU", Make::Nothing),
    Plan::text("hs_folder", "Folder", Make::Nothing),
];

const LINE_ITEMS: &[Plan] = &[
    Plan::text("name", "Name", Make::Nothing),
    Plan::number("quantity", "Quantity", Make::Nothing),
    Plan::number("amount", "Net price", Make::Nothing),
    Plan::number("price", "Unit price", Make::Nothing),
    Plan::text("hs_product_id", "Product ID", Make::Nothing),
];

const QUOTES: &[Plan] = &[
    Plan::text("hs_title", "Quote name", Make::Nothing),
    Plan::moment("hs_expiration_date", "Expiration date", Make::Nothing),
    Plan::text("hs_public_url_key", "Public URL key", Make::Nothing),
    Plan::text("hs_status", "Quote status", Make::Nothing),
];

const LEADS: &[Plan] = &[
    Plan::text("hs_lead_name", "Lead name", Make::Nothing),
    Plan::text("hs_lead_label", "Lead label", Make::Nothing),
    Plan::text("hs_lead_type", "Lead type", Make::Nothing),
];

/// The account's users, one record each.
const USERS: &[Plan] = &[
    Plan::flag("hs_deactivated", "Deactivated", 0).read_only(),
    Plan::text("hs_email", "Email", Make::Nothing).unique().read_only(),
    Plan::text("hs_family_name", "Last name", Make::Nothing).read_only(),
    Plan::text("hs_given_name", "First name", Make::Nothing).read_only(),
    Plan::number("hs_internal_user_id", "User ID", Make::Nothing).unique().read_only(),
    Plan::text("hs_job_title", "Job title", Make::Nothing),
    Plan::text("hs_standard_time_zone", "Time zone", Make::Nothing),
];

/// What the service works out for every type.
const COMPUTED: &[Plan] = &[
    Plan::text("hs_all_owner_ids", "All owner ids", Make::Nothing).read_only(),
    Plan::text("hs_user_ids_of_all_owners", "User ids of all owners", Make::Nothing).read_only(),
    Plan::moment("hubspot_owner_assigneddate", "Owner assigned date", Make::Nothing).read_only(),
    Plan::text("hs_updated_by_user_id", "Updated by user id", Make::Nothing).read_only(),
];

/// What every type without records of its own has.
const EVERY: &[Plan] = &[
    Plan::text("hs_body_preview", "Body preview", Make::Nothing).read_only(),
    Plan::text("hs_body_preview_html", "Body preview as HTML", Make::Nothing).read_only(),
    Plan::text("hs_body_preview_is_truncated", "Body preview is cut", Make::Nothing).read_only(),
    Plan::number("hs_object_id", "Record ID", Make::Id).read_only(),
    Plan::moment("hs_lastmodifieddate", "Last modified date", Make::Modified).read_only(),
    Plan::text("hs_merged_object_ids", "Merged record IDs", Make::Nothing).read_only(),
    Plan::choice("hs_object_source", "Record creation source", OBJECT_SOURCE, Make::Nothing)
        .read_only(),
    Plan::text("hs_object_source_id", "Record creation source ID", Make::Nothing).read_only(),
    Plan::text("hs_object_source_label", "Record source", Make::Nothing).read_only(),
    Plan::moment("hs_timestamp", "Activity date", Make::Nothing),
    Plan::owner("hubspot_owner_id", "Owner", 0),
    Plan::text("hs_pipeline", "Pipeline", Make::Nothing),
    Plan::text("hs_pipeline_stage", "Pipeline stage", Make::Nothing),
];

/// The properties of a type, by its plural name.
pub(crate) fn plans_of(plural: &str) -> Vec<Plan> {
    let (every, own): (&[Plan], &[Plan]) = match plural {
        "contacts" => (&[], CONTACTS),
        "companies" => (&[], COMPANIES),
        "deals" => (&[], DEALS),
        "tickets" => (&[], TICKETS),
        "tasks" => (EVERY, TASKS),
        "meetings" => (EVERY, MEETINGS),
        "notes" => (EVERY, NOTES),
        "calls" => (EVERY, CALLS),
        "emails" => (EVERY, EMAILS),
        "products" => (EVERY, PRODUCTS),
        "line_items" => (EVERY, LINE_ITEMS),
        "quotes" => (EVERY, QUOTES),
        "leads" => (EVERY, LEADS),
        "users" => (EVERY, USERS),
        _ => (EVERY, &[]),
    };
    // A type's own definition of a property comes last and wins.
    [COMPUTED, every, own].concat()
}
