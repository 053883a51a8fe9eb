//! The properties of products, line items, quotes and leads.

use super::options::Options;
use crate::emulator::seed::doings::TradeFact;
use crate::emulator::seed::plan::{Make, Plan};

const CURRENCY: Options = &[("EUR", "EUR"), ("USD", "USD"), ("GBP", "GBP")];
const FREQUENCY: Options =
    &[("monthly", "Monthly"), ("quarterly", "Quarterly"), ("annually", "Annually")];
const QUOTE_STATUS: Options = &[
    ("DRAFT", "Draft"),
    ("APPROVAL_NOT_NEEDED", "Published"),
    ("PENDING_APPROVAL", "Pending approval"),
    ("APPROVED", "Approved"),
    ("REJECTED", "Rejected"),
];
const LEAD_LABEL: Options = &[("HOT", "Hot"), ("WARM", "Warm"), ("COLD", "Cold")];
const LEAD_TYPE: Options =
    &[("NEW_BUSINESS", "New business"), ("RE_ATTEMPTING", "Re-attempting"), ("UPSELL", "Upsell")];

pub(super) const PRODUCTS: &[Plan] = &[
    Plan::text("name", "Name", Make::Trade(TradeFact::ProductName)),
    Plan::area("description", "Product description", Make::Words(50)),
    Plan::number("price", "Unit price", Make::Trade(TradeFact::ProductPrice)),
    Plan::text("hs_sku", "SKU", Make::Trade(TradeFact::Sku)),
    Plan::text("hs_folder", "Folder", Make::Nothing),
    Plan::choice(
        "hs_recurring_billing_frequency",
        "Billing frequency",
        FREQUENCY,
        Make::Option(40),
    ),
    Plan::text("hs_recurring_billing_period", "Term", Make::Pick(&["P12M", "P1M", "P3Y"], 40)),
    Plan::number("hs_cost_of_goods_sold", "Unit cost", Make::Decimal(500, 40)),
    Plan::text("hs_images", "Image URL", Make::Nothing),
    Plan::text("hs_url", "URL", Make::Nothing),
    Plan::text("hs_product_type", "Product type", Make::Nothing),
    Plan::number("hs_price_eur", "Price (EUR)", Make::Trade(TradeFact::ProductPrice)),
    Plan::number("tax", "Tax", Make::Nothing),
];

pub(super) const LINE_ITEMS: &[Plan] = &[
    Plan::text("name", "Name", Make::Trade(TradeFact::ItemName)),
    Plan::number("quantity", "Quantity", Make::Trade(TradeFact::ItemQuantity)),
    Plan::number("amount", "Net price", Make::Trade(TradeFact::ItemAmount)),
    Plan::number("price", "Unit price", Make::Trade(TradeFact::ItemPrice)),
    Plan::text("hs_product_id", "Product ID", Make::Trade(TradeFact::ItemProduct)),
    Plan::text("hs_sku", "SKU", Make::Nothing),
    Plan::area("description", "Description", Make::Words(20)),
    Plan::number("discount", "Unit discount", Make::Decimal(90, 10)),
    Plan::number("hs_discount_percentage", "Discount percentage", Make::Whole(40, 15)),
    Plan::choice("hs_line_item_currency_code", "Currency", CURRENCY, Make::Option(100)),
    Plan::choice("recurringbillingfrequency", "Billing frequency", FREQUENCY, Make::Option(40)),
    Plan::text("hs_recurring_billing_period", "Term", Make::Pick(&["P12M", "P1M"], 40)),
    Plan::day("hs_recurring_billing_start_date", "Billing start date", Make::Day(30)),
    Plan::number("hs_margin", "Gross margin", Make::Rough(30)).read_only(),
    Plan::number("hs_mrr", "Monthly recurring revenue", Make::Decimal(900, 30)).read_only(),
    Plan::number("hs_position_on_quote", "Order on quote", Make::Whole(9, 80)),
    Plan::number(
        "hs_pre_discount_amount",
        "Pre discount amount",
        Make::Trade(TradeFact::ItemAmount),
    )
    .read_only(),
];

pub(super) const QUOTES: &[Plan] = &[
    Plan::text("hs_title", "Quote name", Make::Trade(TradeFact::QuoteTitle)),
    Plan::moment("hs_expiration_date", "Expiration date", Make::Trade(TradeFact::QuoteExpiry)),
    Plan::text("hs_public_url_key", "Public URL key", Make::LongId(60)),
    Plan::choice("hs_status", "Quote status", QUOTE_STATUS, Make::Option(100)),
    Plan::choice("hs_currency", "Currency", CURRENCY, Make::Option(100)),
    Plan::text("hs_language", "Language", Make::Pick(&["de", "en"], 100)),
    Plan::number("hs_quote_amount", "Quote amount", Make::Decimal(90_000, 95)).read_only(),
    Plan::text("hs_quote_number", "Reference number", Make::LongId(95)).read_only(),
    Plan::area("hs_comments", "Comments to buyer", Make::Words(30)),
    Plan::area("hs_terms", "Purchase terms", Make::Note(20)),
    Plan::text("hs_sender_company_name", "Sender company name", Make::Fixed("Hublake Demo")),
    Plan::text("hs_sender_email", "Sender email", Make::Fixed("alma@hublake-demo.example")),
    Plan::flag("hs_esign_enabled", "E-sign enabled", 60),
    Plan::flag("hs_payment_enabled", "Payment enabled", 60),
    Plan::text("hs_pdf_download_link", "PDF download link", Make::Nothing).read_only(),
];

pub(super) const LEADS: &[Plan] = &[
    Plan::text("hs_lead_name", "Lead name", Make::Trade(TradeFact::LeadName)),
    Plan::choice("hs_lead_label", "Lead label", LEAD_LABEL, Make::Option(60)),
    Plan::choice("hs_lead_type", "Lead type", LEAD_TYPE, Make::Option(80)),
    Plan::text("hs_lead_source", "Lead source", Make::Nothing).read_only(),
    Plan::text("hs_lead_disqualification_reason", "Disqualification reason", Make::Nothing),
    Plan::text("hs_lead_disqualification_note", "Disqualification note", Make::Words(10)),
    Plan::moment("hs_lead_first_outreach_date", "First outreach date", Make::Moment(40))
        .read_only(),
    Plan::number("hs_lead_call_count", "Number of calls", Make::Whole(5, 60)).read_only(),
    Plan::number("hs_lead_email_count", "Number of emails", Make::Whole(9, 60)).read_only(),
    Plan::flag("hs_lead_is_open", "Is open", 100).read_only(),
];
