//! The properties of companies whose values hang together or that people use.

use super::options::{INDUSTRY, LEAD_STATUS, LIFECYCLE, PLAN_TIER, SOURCE};
use crate::emulator::seed::facts::CompanyFact;
use crate::emulator::seed::plan::{Make, Plan};
use crate::emulator::seed::words;

/// Companies.
pub(super) const COMPANIES: &[Plan] = &[
    Plan::text("address", "Street Address", Make::Pick(words::STREET, 50)),
    Plan::number("annualrevenue", "Annual Revenue", Make::Decimal(90_000_000, 40)),
    Plan::text("city", "City", Make::Pick(words::CITY, 80)),
    Plan::moment("closedate", "Close Date", Make::Moment(20)),
    Plan::text("country", "Country/Region", Make::Pick(words::COUNTRY, 85)),
    Plan::moment("createdate", "Create Date", Make::Created).read_only(),
    Plan::area("description", "Description", Make::Pick(words::REMARK, 30)),
    Plan::text("domain", "Company Domain Name", Make::Company(CompanyFact::Domain)),
    Plan::number("founded_year", "Year Founded", Make::Whole(2_020, 20)),
    Plan::text(
        "hs_additional_domains",
        "Additional Domains",
        Make::Company(CompanyFact::MoreDomains),
    ),
    Plan::choice("hs_analytics_source", "Original Traffic Source", SOURCE, Make::Option(90))
        .read_only(),
    Plan::moment("hs_lastmodifieddate", "Last Modified Date", Make::Modified).read_only(),
    Plan::choice("hs_lead_status", "Lead Status", LEAD_STATUS, Make::Option(30)),
    Plan::text("hs_merged_object_ids", "Merged record IDs", Make::MergedIds).read_only(),
    Plan::number("hs_num_child_companies", "Number of child companies", Make::Fixed("0"))
        .read_only(),
    Plan::number("hs_num_open_deals", "Number of open deals", Make::Whole(4, 60)).read_only(),
    Plan::number("hs_object_id", "Record ID", Make::Id).read_only(),
    Plan::owner("hubspot_owner_id", "Company owner", 70),
    Plan::choice("industry", "Industry", INDUSTRY, Make::Option(60)),
    Plan::flag("is_public", "Is Public", 40),
    Plan::choice("lifecyclestage", "Lifecycle Stage", LIFECYCLE, Make::Company(CompanyFact::Stage)),
    Plan::text("linkedin_company_page", "LinkedIn Company Page", Make::Pick(words::PROFILES, 20)),
    Plan::text("name", "Company name", Make::Company(CompanyFact::Name)),
    Plan::moment("notes_last_contacted", "Last Contacted", Make::Moment(45)).read_only(),
    Plan::moment("notes_last_updated", "Last Activity Date", Make::Moment(50)).read_only(),
    Plan::number("num_associated_contacts", "Number of Associated Contacts", Make::Whole(30, 90))
        .read_only(),
    Plan::number("num_associated_deals", "Number of Associated Deals", Make::Whole(5, 50))
        .read_only(),
    Plan::number("numberofemployees", "Number of Employees", Make::Whole(20_000, 60)),
    Plan::text("phone", "Phone Number", Make::Phone(50)),
    Plan::text("state", "State/Region", Make::Pick(words::STATE, 40)),
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
