//! Options of standard enumerations, value and label.

pub(super) type Options = &'static [(&'static str, &'static str)];

pub(super) const LIFECYCLE: Options = &[
    ("subscriber", "Subscriber"),
    ("lead", "Lead"),
    ("marketingqualifiedlead", "Marketing Qualified Lead"),
    ("salesqualifiedlead", "Sales Qualified Lead"),
    ("opportunity", "Opportunity"),
    ("customer", "Customer"),
    ("evangelist", "Evangelist"),
    ("other", "Other"),
];

pub(super) const LEAD_STATUS: Options = &[
    ("NEW", "New"),
    ("OPEN", "Open"),
    ("IN_PROGRESS", "In Progress"),
    ("OPEN_DEAL", "Open Deal"),
    ("UNQUALIFIED", "Unqualified"),
    ("ATTEMPTED_TO_CONTACT", "Attempted to Contact"),
    ("CONNECTED", "Connected"),
    ("BAD_TIMING", "Bad Timing"),
];

pub(super) const SOURCE: Options = &[
    ("ORGANIC_SEARCH", "Organic Search"),
    ("PAID_SEARCH", "Paid Search"),
    ("EMAIL_MARKETING", "Email Marketing"),
    ("SOCIAL_MEDIA", "Organic Social"),
    ("REFERRALS", "Referrals"),
    ("DIRECT_TRAFFIC", "Direct Traffic"),
    ("OFFLINE", "Offline Sources"),
];

pub(super) const INDUSTRY: Options = &[
    ("COMPUTER_SOFTWARE", "Computer Software"),
    ("FOOD_PRODUCTION", "Food Production"),
    ("LOGISTICS_AND_SUPPLY_CHAIN", "Logistics and Supply Chain"),
    ("HOSPITAL_HEALTH_CARE", "Hospital & Health Care"),
    ("RENEWABLES_ENVIRONMENT", "Renewables & Environment"),
    ("RETAIL", "Retail"),
];

pub(super) const LANGUAGE: Options =
    &[("de", "German"), ("en", "English"), ("fr", "French"), ("ja", "Japanese")];

pub(super) const INTERESTS: Options = &[
    ("api", "API"),
    ("reporting", "Reporting"),
    ("security", "Security"),
    ("integrations", "Integrations"),
    ("pricing", "Pricing"),
];

pub(super) const ROLES: Options = &[
    ("BLOCKER", "Blocker"),
    ("BUDGET_HOLDER", "Budget Holder"),
    ("CHAMPION", "Champion"),
    ("DECISION_MAKER", "Decision Maker"),
    ("END_USER", "End User"),
];

pub(super) const OBJECT_SOURCE: Options = &[
    ("INTEGRATION", "Integration"),
    ("CRM_UI", "CRM UI"),
    ("IMPORT", "Import"),
    ("API", "API"),
    ("MERGE_OBJECTS", "Merge objects"),
];

pub(super) const PLAN_TIER: Options =
    &[("free", "Free"), ("team", "Team"), ("business", "Business")];

pub(super) const DEAL_TYPE: Options =
    &[("newbusiness", "New Business"), ("existingbusiness", "Existing Business")];

pub(super) const PRIORITY: Options =
    &[("LOW", "Low"), ("MEDIUM", "Medium"), ("HIGH", "High"), ("URGENT", "Urgent")];

pub(super) const TICKET_CATEGORY: Options = &[
    ("PRODUCT_ISSUE", "Product Issue"),
    ("BILLING_ISSUE", "Billing Issue"),
    ("FEATURE_REQUEST", "Feature Request"),
    ("GENERAL_INQUIRY", "General Inquiry"),
];

pub(super) const TASK_STATUS: Options = &[
    ("NOT_STARTED", "Not started"),
    ("IN_PROGRESS", "In progress"),
    ("COMPLETED", "Completed"),
    ("WAITING", "Waiting"),
    ("DEFERRED", "Deferred"),
];

const YESNO: Options = &[("true", "Yes"), ("false", "No")];

const MEMBERSHIP: Options = &[("inactive", "Inactive"), ("active", "Active")];

const ENGAGEMENT: Options = &[
    ("CALL", "Call"),
    ("EMAIL", "Email"),
    ("MEETING_EVENT", "Meeting"),
    ("TASK", "Task"),
    ("CONVERSATION_SESSION", "Chat"),
];

const LEGAL: Options = &[
    ("Legitimate interest – prospect/lead", "Legitimate interest – prospect/lead"),
    ("Legitimate interest – existing customer", "Legitimate interest – existing customer"),
    ("Performance of a contract", "Performance of a contract"),
    ("Freely given consent from contact", "Freely given consent from contact"),
    ("Not applicable", "Not applicable"),
];

const MARKETABLE: Options = &[
    ("USER_SET", "User"),
    ("WORKFLOW", "Workflow"),
    ("IMPORT", "Import"),
    ("FORM_SUBMISSION", "Form"),
];

const PERSONA: Options =
    &[("persona_1", "Buyer Bea"), ("persona_2", "Admin Adam"), ("persona_3", "User Uma")];

const TIER: Options = &[
    ("tier_1", "Very high"),
    ("tier_2", "High"),
    ("tier_3", "Medium"),
    ("tier_4", "Low"),
    ("closed_won", "Closed won"),
];

const FUNCTION: Options = &[
    ("sales", "Sales"),
    ("marketing", "Marketing"),
    ("engineering", "Engineering"),
    ("finance", "Finance"),
    ("operations", "Operations"),
];

const SENIORITY: Options = &[
    ("entry", "Entry"),
    ("manager", "Manager"),
    ("director", "Director"),
    ("vp", "VP"),
    ("executive", "Executive"),
    ("owner", "Owner"),
];

const BOUNCE: Options = &[
    ("UNKNOWN_USER", "Unknown user"),
    ("MAILBOX_FULL", "Mailbox full"),
    ("SPAM", "Spam"),
    ("POLICY", "Policy"),
    ("DNS_FAILURE", "DNS failure"),
];

const NPS: Options = &[
    ("0", "0"),
    ("1", "1"),
    ("2", "2"),
    ("3", "3"),
    ("4", "4"),
    ("5", "5"),
    ("6", "6"),
    ("7", "7"),
    ("8", "8"),
    ("9", "9"),
    ("10", "10"),
];

const RANGE: Options = &[
    ("1-5", "1-5"),
    ("5-10", "5-10"),
    ("10-25", "10-25"),
    ("25-50", "25-50"),
    ("50-100", "50-100"),
    ("100-250", "100-250"),
    ("250-500", "250-500"),
    ("500-1000", "500-1K"),
    ("1000+", "Over 1K"),
];

const ICP: Options = &[("tier_1", "Tier 1"), ("tier_2", "Tier 2"), ("tier_3", "Tier 3")];

const COMPANY_TYPE: Options = &[
    ("PROSPECT", "Prospect"),
    ("PARTNER", "Partner"),
    ("RESELLER", "Reseller"),
    ("VENDOR", "Vendor"),
    ("OTHER", "Other"),
];

const TECHNOLOGY: Options = &[
    ("google_tag_manager", "Google Tag Manager"),
    ("wordpress", "WordPress"),
    ("shopify", "Shopify"),
    ("aws", "AWS"),
    ("cloudflare", "Cloudflare"),
    ("microsoft_365", "Microsoft 365"),
];

const FORECAST: Options = &[
    ("OMIT", "Not forecasted"),
    ("PIPELINE", "Pipeline"),
    ("BEST_CASE", "Best case"),
    ("COMMIT", "Commit"),
    ("CLOSED", "Closed won"),
];

const TAGS: Options = &[("20411", "At risk"), ("20412", "Key account"), ("20413", "Legal")];

const RESOLUTION: Options =
    &[("ISSUE_FIXED", "Issue fixed"), ("NO_FIX", "No fix"), ("DUPLICATE", "Duplicate")];

const TICKET_SOURCE: Options =
    &[("CHAT", "Chat"), ("EMAIL", "Email"), ("FORM", "Form"), ("PHONE", "Phone")];

const ENGAGED: Options = &[
    ("CRM_UI", "CRM UI"),
    ("EMAIL", "Email"),
    ("WORKFLOW", "Workflow"),
    ("SEQUENCE", "Sequence"),
    ("API", "API"),
];

/// The options of a name, as the texts of plans have it.
pub(super) fn list(name: &str) -> Option<Options> {
    Some(match name {
        "BOUNCE" => BOUNCE,
        "COMPANY_TYPE" => COMPANY_TYPE,
        "ENGAGED" => ENGAGED,
        "ENGAGEMENT" => ENGAGEMENT,
        "FORECAST" => FORECAST,
        "FUNCTION" => FUNCTION,
        "ICP" => ICP,
        "LANGUAGE" => LANGUAGE,
        "LEGAL" => LEGAL,
        "MARKETABLE" => MARKETABLE,
        "MEMBERSHIP" => MEMBERSHIP,
        "NPS" => NPS,
        "PERSONA" => PERSONA,
        "PRIORITY" => PRIORITY,
        "RANGE" => RANGE,
        "RESOLUTION" => RESOLUTION,
        "SENIORITY" => SENIORITY,
        "SOURCE" => SOURCE,
        "TAGS" => TAGS,
        "TECHNOLOGY" => TECHNOLOGY,
        "TICKET_SOURCE" => TICKET_SOURCE,
        "TIER" => TIER,
        "YESNO" => YESNO,
        _ => return None,
    })
}
